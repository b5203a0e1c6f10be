package tag_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

const (
	fleetARN = "arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-1"
	bareARN  = "arn:aws:gamelift:us-west-2::fleet/fleet-1"
	aliasARN = "arn:aws:gamelift:us-west-2::alias/alias-1"
)

// each runs a test on both databases, with one fleet and one alias in the world.
func each(t *testing.T, f func(t *testing.T, s *tag.Service)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		f(t, &tag.Service{DB: db, Exists: func(_ *store.Tx, kind, id string) (bool, error) {
			if id == "fleet-new" {
				return false, apierr.InvalidRequest("Resource %s is not in a taggable state", id)
			}
			return kind == "fleet" && id == "fleet-1" || kind == "alias" && id == "alias-1", nil
		}})
	})
}

// list makes tags from key, value, key, value, …
func list(pairs ...string) []types.Tag {
	var tags []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return tags
}

func many(from, n int) []types.Tag {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("key %02d", from+i), "v")
	}
	return list(pairs...)
}

// has is a resource's tags as text.
func has(t *testing.T, s *tag.Service, resource string) string {
	t.Helper()
	out, err := s.ListTagsForResource(t.Context(), &gamelift.ListTagsForResourceInput{ResourceARN: &resource})
	if err != nil || out.Tags == nil {
		t.Fatalf("ListTagsForResource = %v, %v", out, err)
	}
	return text(out.Tags)
}

func text(tags []types.Tag) string {
	var parts []string
	for _, t := range tags {
		parts = append(parts, *t.Key+"="+*t.Value)
	}
	return strings.Join(parts, ";")
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestTags(t *testing.T) {
	each(t, func(t *testing.T, s *tag.Service) {
		set := func(resource string, pairs ...string) {
			t.Helper()
			out, err := s.TagResource(t.Context(), &gamelift.TagResourceInput{ResourceARN: &resource, Tags: list(pairs...)})
			if err != nil || out == nil {
				t.Fatalf("TagResource = %v, %v", out, err)
			}
		}
		drop := func(resource string, keys ...string) {
			t.Helper()
			out, err := s.UntagResource(t.Context(), &gamelift.UntagResourceInput{ResourceARN: &resource, TagKeys: keys})
			if err != nil || out == nil {
				t.Fatalf("UntagResource = %v, %v", out, err)
			}
		}
		want := func(what, resource, tags string) {
			t.Helper()
			if got := has(t, s, resource); got != tags {
				t.Errorf("%s: %q, want %q", what, got, tags)
			}
		}
		want("at first", fleetARN, "")
		drop(fleetARN, "nothing", "here")
		set(fleetARN)
		want("after nothing", fleetARN, "")
		set(fleetARN, "b", "1", "ä", "<&>\x00", "a", "", "B", "2")
		want("sorted by key, values untouched", fleetARN, "B=2;a=;b=1;ä=<&>\x00")
		set(fleetARN, "b", "3", "c", "4")
		want("equal keys overwritten", fleetARN, "B=2;a=;b=3;c=4;ä=<&>\x00")
		want("account left out", bareARN, "B=2;a=;b=3;c=4;ä=<&>\x00")
		want("another resource", aliasARN, "")
		drop(bareARN, "b", "b", "A", "none", "ä")
		want("after removal", fleetARN, "B=2;a=;c=4")

		if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return s.DropTx(tx, fleetARN) }); err != nil {
			t.Fatal(err)
		}
		want("after DropTx", fleetARN, "")
	})
}

func TestTagRefusals(t *testing.T) {
	each(t, func(t *testing.T, s *tag.Service) {
		for _, c := range []struct{ resource, code string }{
			{"arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-2", "NotFoundException"},
			{"arn:aws:gamelift:us-west-2:123456789012:build/build-1", "NotFoundException"},
			{"arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-new", "InvalidRequestException"},
			{"arn:aws:gamelift:us-west-2:123456789012:compute/c-1", "InvalidRequestException"},
			{"arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1", "InvalidRequestException"},
			{"arn:aws:ec2:us-west-2:123456789012:fleet/fleet-1", "InvalidRequestException"},
			{"arn:aws:gamelift:us-west-2:123456789012:fleet/", "InvalidRequestException"},
			{"arn:", "InvalidRequestException"},
			{"fleet-1", "InvalidRequestException"},
		} {
			_, err := s.TagResource(t.Context(), &gamelift.TagResourceInput{ResourceARN: &c.resource, Tags: list("a", "b")})
			if code(err) != c.code {
				t.Errorf("TagResource %s: %v, want %s", c.resource, err, c.code)
			}
			_, err = s.UntagResource(t.Context(), &gamelift.UntagResourceInput{ResourceARN: &c.resource, TagKeys: []string{"a"}})
			if code(err) != c.code {
				t.Errorf("UntagResource %s: %v, want %s", c.resource, err, c.code)
			}
			_, err = s.ListTagsForResource(t.Context(), &gamelift.ListTagsForResourceInput{ResourceARN: &c.resource})
			if code(err) != c.code {
				t.Errorf("ListTagsForResource %s: %v, want %s", c.resource, err, c.code)
			}
		}
		for name, c := range map[string]struct {
			tags []types.Tag
			code string
		}{
			"twice":    {list("a", "1", "b", "2", "a", "1"), "InvalidRequestException"},
			"reserved": {list("ok", "1", "aws:x", "1"), "InvalidRequestException"},
			"RESERVED": {list("AWS:x", "1"), "InvalidRequestException"},
			"51":       {many(0, 51), "TaggingFailedException"},
		} {
			_, err := s.TagResource(t.Context(), &gamelift.TagResourceInput{ResourceARN: new(fleetARN), Tags: c.tags})
			if code(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
		if got := has(t, s, fleetARN); got != "" {
			t.Errorf("after refusals: %q", got)
		}
		if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return s.DropTx(tx, "fleet-1") }); code(err) != "InvalidRequestException" {
			t.Errorf("DropTx of no ARN: %v", err)
		}
	})
}

func TestTagQuota(t *testing.T) {
	each(t, func(t *testing.T, s *tag.Service) {
		set := func(tags []types.Tag) error {
			_, err := s.TagResource(t.Context(), &gamelift.TagResourceInput{ResourceARN: new(fleetARN), Tags: tags})
			return err
		}
		if err := set(many(0, 50)); err != nil {
			t.Fatal(err)
		}
		if err := set(many(10, 40)); err != nil {
			t.Errorf("overwriting at the quota: %v", err)
		}
		if err := set(many(40, 11)); code(err) != "TaggingFailedException" {
			t.Errorf("51st: %v", err)
		}
		s.Quota = 51
		if err := set(many(40, 11)); err != nil {
			t.Errorf("raised quota: %v", err)
		}
	})
}

// TestConcurrentTagsHoldTheQuota: callers that add different keys do not pass it together.
func TestConcurrentTagsHoldTheQuota(t *testing.T) {
	each(t, func(t *testing.T, s *tag.Service) {
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := s.TagResource(t.Context(), &gamelift.TagResourceInput{ResourceARN: new(fleetARN), Tags: many(i*10, 10)})
				if err != nil && code(err) != "TaggingFailedException" {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := strings.Count(has(t, s, fleetARN), ";") + 1; got != 50 {
			t.Errorf("%d tags, want 50", got)
		}
	})
}

// TestTagsAreAMap: after any calls the tags are those of a map that had the same calls.
func TestTagsAreAMap(t *testing.T) {
	each(t, func(t *testing.T, s *tag.Service) {
		key := rapid.StringMatching(`[a-cA-C]`)
		rapid.Check(t, func(rt *rapid.T) {
			if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return s.DropTx(tx, fleetARN) }); err != nil {
				rt.Fatal(err)
			}
			want := map[string]string{}
			rt.Repeat(map[string]func(*rapid.T){
				"tag": func(rt *rapid.T) {
					tags := rapid.MapOfN(key, rapid.StringN(0, 5, 20), 0, 4).Draw(rt, "tags")
					var in []types.Tag
					for k, v := range tags {
						in = append(in, types.Tag{Key: &k, Value: &v})
						want[k] = v
					}
					if _, err := s.TagResource(t.Context(), &gamelift.TagResourceInput{ResourceARN: new(fleetARN), Tags: in}); err != nil {
						rt.Fatal(err)
					}
				},
				"untag": func(rt *rapid.T) {
					keys := rapid.SliceOfN(key, 0, 3).Draw(rt, "keys")
					for _, k := range keys {
						delete(want, k)
					}
					if _, err := s.UntagResource(t.Context(), &gamelift.UntagResourceInput{ResourceARN: new(fleetARN), TagKeys: keys}); err != nil {
						rt.Fatal(err)
					}
				},
			})
			var sorted []types.Tag
			for _, k := range slices.Sorted(maps.Keys(want)) {
				sorted = append(sorted, types.Tag{Key: new(k), Value: new(want[k])})
			}
			if got := has(t, s, fleetARN); got != text(sorted) {
				rt.Fatalf("tags %q, want %q", got, text(sorted))
			}
		})
	})
}
