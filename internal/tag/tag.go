// Package tag keeps the tags of every resource that can have some. It owns the tags and
// their rules (hosting.md 5.3, 5.4); it does not know the resources, and asks the rooms
// that own them whether one exists.
package tag

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// DefaultQuota is the number of tags a resource may have. The model's lists take 200; the
// service's limit is lower (hosting.md 5.4).
const DefaultQuota = 50

// Service is the tag room.
type Service struct {
	DB *store.DB
	// Exists tells whether the resource of a kind ("fleet", "alias", …) with that id, both
	// as its ARN spells them, exists. It may refuse with an error for the caller, as a
	// resource does that cannot be tagged in its present state. Required.
	Exists func(tx *store.Tx, kind, id string) (bool, error)
	// Quota is the most tags of a resource; zero means DefaultQuota.
	Quota int
}

// taggable lists the kinds of resources that have tags (hosting.md 5.3), as ARNs spell them.
var taggable = map[string]bool{
	"alias":                    true,
	"build":                    true,
	"containerfleet":           true,
	"containergroupdefinition": true,
	"fleet":                    true,
	"gameservergroup":          true,
	"gamesessionqueue":         true,
	"location":                 true,
	"matchmakingconfiguration": true,
	"matchmakingruleset":       true,
	"script":                   true,
}

// TagResource sets tags, overwriting those of equal key.
func (s *Service) TagResource(ctx context.Context, in *gamelift.TagResourceInput) (*gamelift.TagResourceOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.existing(tx, *in.ResourceARN); err != nil {
			return err
		}
		return s.SetTx(tx, *in.ResourceARN, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.TagResourceOutput{}, nil
}

// UntagResource removes tags. Keys the resource does not have are ignored.
func (s *Service) UntagResource(ctx context.Context, in *gamelift.UntagResourceInput) (*gamelift.UntagResourceOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.existing(tx, *in.ResourceARN); err != nil {
			return err
		}
		return s.change(tx, *in.ResourceARN, func(tags map[string]string) error {
			for _, key := range in.TagKeys {
				delete(tags, key)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UntagResourceOutput{}, nil
}

// ListTagsForResource returns all tags of a resource, by key. The list is empty, and not
// absent, when there are none.
func (s *Service) ListTagsForResource(ctx context.Context, in *gamelift.ListTagsForResourceInput) (*gamelift.ListTagsForResourceOutput, error) {
	out := &gamelift.ListTagsForResourceOutput{Tags: []types.Tag{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		if err := s.existing(tx, *in.ResourceARN); err != nil {
			return err
		}
		tags, err := read(tx, *in.ResourceARN, "")
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			out.Tags = append(out.Tags, types.Tag{Key: new(key), Value: new(tags[key])})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// SetTx adds tags to the resource with that ARN, which the caller knows to exist. It
// refuses, as InvalidRequestException, keys given twice and keys of the reserved prefix
// "aws:"; and, as TaggingFailedException, more tags than the quota. Operations that create
// a resource declare both.
func (s *Service) SetTx(tx *store.Tx, resource string, tags []types.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch key := *t.Key; {
		case seen[key]:
			return apierr.InvalidRequest("Tags: the key %q is given twice", key)
		case len(key) >= 4 && strings.EqualFold(key[:4], "aws:"):
			return apierr.InvalidRequest("Tags: the key %q has the reserved prefix aws:", key)
		default:
			seen[key] = true
		}
	}
	quota := cmp.Or(s.Quota, DefaultQuota)
	return s.change(tx, resource, func(have map[string]string) error {
		for _, t := range tags {
			have[*t.Key] = *t.Value
		}
		if len(have) > quota {
			return apierr.TaggingFailed("Tags: %s would have %d tags, and %d is the most", resource, len(have), quota)
		}
		return nil
	})
}

// DropTx removes all tags of a resource. Rooms call it when a resource ends, and before
// they reuse a name.
func (s *Service) DropTx(tx *store.Tx, resource string) error {
	name, err := nameOf(resource)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM tag WHERE resource = $1`, name)
	return err
}

// existing refuses ARNs that name nothing taggable or nothing that exists.
func (s *Service) existing(tx *store.Tx, resource string) error {
	if _, err := nameOf(resource); err != nil {
		return err
	}
	kind, id, _ := arn.Resource(resource)
	found, err := s.Exists(tx, kind, id)
	if err != nil {
		return err
	}
	if !found {
		return apierr.NotFound("ResourceARN: %s does not exist", resource)
	}
	return nil
}

// nameOf is what the table calls a resource. Region and account of the ARN do not count:
// some tools leave the account out, some put it in (hosting.md 0.5).
func nameOf(resource string) (string, error) {
	kind, id, ok := arn.Resource(resource)
	if !ok {
		return "", apierr.InvalidRequest("ResourceARN: %q is not an ARN of this service", resource)
	}
	if !taggable[kind] {
		return "", apierr.InvalidRequest("ResourceARN: a %s cannot have tags", kind)
	}
	return kind + "/" + id, nil
}

// change rewrites the tags of a resource under its row's lock.
func (s *Service) change(tx *store.Tx, resource string, f func(map[string]string) error) error {
	name, err := nameOf(resource)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO tag (resource, tags) VALUES ($1, '{}') ON CONFLICT DO NOTHING`, name); err != nil {
		return err
	}
	tags, err := read(tx, resource, tx.ForUpdate())
	if err != nil {
		return err
	}
	if err := f(tags); err != nil {
		return err
	}
	text, err := json.Marshal(tags)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE tag SET tags = $2 WHERE resource = $1`, name, string(text))
	return err
}

func read(tx *store.Tx, resource, lock string) (map[string]string, error) {
	name, err := nameOf(resource)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	var text string
	err = tx.QueryRow(`SELECT tags FROM tag WHERE resource = $1`+lock, name).Scan(&text)
	if errors.Is(err, store.ErrNoRows) {
		return tags, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &tags); err != nil {
		return nil, fmt.Errorf("tags of %s: %w", name, err)
	}
	return tags, nil
}
