package matchmaking

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	ruleSetKind       = "matchmakingruleset" // in ARNs
	configurationKind = "matchmakingconfiguration"
	queueKind         = "gamesessionqueue"

	pageSize = 10 // default and most, of rule sets and of configurations (flexmatch.md 1.9)
)

// ruleSet is a rule set's row.
type ruleSet struct {
	key     store.Key
	name    string
	body    string
	created int64 // epoch milliseconds
}

// CreateMatchmakingRuleSet stores a rule set, which never changes. Its body is checked in
// full, as ValidateMatchmakingRuleSet does. A name that is taken is an
// InvalidRequestException, since no conflict is modelled.
func (s *Service) CreateMatchmakingRuleSet(ctx context.Context, in *gamelift.CreateMatchmakingRuleSetInput) (*gamelift.CreateMatchmakingRuleSetOutput, error) {
	if *in.Name == "" {
		return nil, apierr.InvalidRequest("Name: it must not be empty")
	}
	if err := checkBody(*in.RuleSetBody); err != nil {
		return nil, err
	}
	r := ruleSet{name: *in.Name, body: *in.RuleSetBody}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		r.key, r.created = tx.NewKey(), tx.NowMs()
		ok, err := insertRuleSet(tx, r)
		if err != nil {
			return err
		}
		if !ok {
			return apierr.InvalidRequest("Name: a rule set %s exists", r.name)
		}
		if err := s.freshTags(tx, s.resource(ruleSetKind, r.name), in.Tags); err != nil {
			return err
		}
		limit := s.Config.orDefaults().RuleSets
		if ok, err = takeQuota(tx, "rule set", limit); err == nil && !ok {
			return apierr.LimitExceeded("the quota of %d rule sets is used up", limit)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateMatchmakingRuleSetOutput{RuleSet: new(s.ruleSetModel(r))}, nil
}

// ValidateMatchmakingRuleSet checks a rule set body. The answer is Valid, or an
// InvalidRequestException whose message lists everything that is wrong, each with its JSON
// path (flexmatch.md 1.10). Nothing is stored.
func (s *Service) ValidateMatchmakingRuleSet(_ context.Context, in *gamelift.ValidateMatchmakingRuleSetInput) (*gamelift.ValidateMatchmakingRuleSetOutput, error) {
	if err := checkBody(*in.RuleSetBody); err != nil {
		return nil, err
	}
	return &gamelift.ValidateMatchmakingRuleSetOutput{Valid: new(true)}, nil
}

// DescribeMatchmakingRuleSets lists rule sets, oldest first, with their bodies as they were
// sent: all, or those named by name or ARN. A name that is unknown is a NotFoundException.
func (s *Service) DescribeMatchmakingRuleSets(ctx context.Context, in *gamelift.DescribeMatchmakingRuleSetsInput) (*gamelift.DescribeMatchmakingRuleSetsOutput, error) {
	const op = "DescribeMatchmakingRuleSets"
	var after store.Key
	if _, err := page.Decode(op, in.Names, in.NextToken, &after); err != nil {
		return nil, err
	}
	names, err := parseNames("Names", ruleSetKind, in.Names)
	if err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, pageSize, pageSize)
	var list []ruleSet
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		for _, text := range in.Names {
			if _, err := knownRuleSet(tx, "Names", text, ""); err != nil {
				return err
			}
		}
		list, err = pageOfRuleSets(tx, names, after, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &gamelift.DescribeMatchmakingRuleSetsOutput{RuleSets: []types.MatchmakingRuleSet{}}
	list, out.NextToken = page.Cut(list, size, func(r ruleSet) string { return page.Encode(op, in.Names, r.key) })
	for _, r := range list {
		out.RuleSets = append(out.RuleSets, s.ruleSetModel(r))
	}
	return out, nil
}

// DeleteMatchmakingRuleSet deletes a rule set that no configuration uses; its name may be
// used again.
func (s *Service) DeleteMatchmakingRuleSet(ctx context.Context, in *gamelift.DeleteMatchmakingRuleSetInput) (*gamelift.DeleteMatchmakingRuleSetOutput, error) {
	var r ruleSet
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		// Whoever gives a rule set to a configuration locks it too.
		if r, err = knownRuleSet(tx, "Name", *in.Name, tx.ForUpdate()); err != nil {
			return err
		}
		users, err := pageOfConfigurations(tx, nil, &r.key, 0, 1)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return apierr.InvalidRequest("Name: rule set %s is in use by configuration %s", r.name, users[0].Name)
		}
		if err := removeRuleSet(tx, r.key); err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, s.resource(ruleSetKind, r.name)); err != nil {
			return err
		}
		return giveQuota(tx, "rule set")
	})
	if err != nil {
		return nil, err
	}
	s.ruleSets.drop(r.key)
	return &gamelift.DeleteMatchmakingRuleSetOutput{}, nil
}

// ExistsTx tells whether a rule set or a configuration exists, for the tag room. Other kinds
// do not.
func (s *Service) ExistsTx(tx *store.Tx, kind, id string) (found bool, err error) {
	switch kind {
	case ruleSetKind:
		_, err = ruleSetByName(tx, id, "")
	case configurationKind:
		_, err = configurationByName(tx, id, "")
	default:
		return false, nil
	}
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func checkBody(body string) error {
	if _, err := flexmatch.Parse(body); err != nil {
		return apierr.InvalidRequest("RuleSetBody: %v", err)
	}
	return nil
}

// ruleSetTx is the rule set with a key, read. It must not be changed.
func (s *Service) ruleSetTx(tx *store.Tx, key store.Key) (*flexmatch.RuleSet, error) {
	if rs, ok := s.ruleSets.get(key); ok {
		return rs, nil
	}
	body, err := ruleSetBody(tx, key)
	if err != nil {
		return nil, err
	}
	rs, err := flexmatch.Parse(body)
	if err != nil {
		return nil, err
	}
	s.ruleSets.put(key, rs)
	return rs, nil
}

// ruleSets keeps rule sets that have been read. The zero value is empty.
type ruleSets struct {
	mu  sync.Mutex
	all map[store.Key]*flexmatch.RuleSet
}

// keptRuleSets is the most that are kept: other nodes delete rule sets without telling.
const keptRuleSets = 1000

func (c *ruleSets) get(key store.Key) (*flexmatch.RuleSet, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rs, ok := c.all[key]
	return rs, ok
}

func (c *ruleSets) put(key store.Key, rs *flexmatch.RuleSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) >= keptRuleSets {
		c.all = map[store.Key]*flexmatch.RuleSet{}
	}
	c.all[key] = rs
}

func (c *ruleSets) drop(key store.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, key)
}

// parseName reads the name or the ARN of a thing of a kind. Only the resource part of an ARN
// counts (hosting.md 0.5).
func parseName(field, kind, text string) (string, error) {
	if !strings.HasPrefix(text, "arn:") {
		return text, nil
	}
	got, name, ok := arn.Resource(text)
	if !ok || got != kind {
		return "", apierr.InvalidRequest("%s: %q is not the ARN of a %s", field, text, kind)
	}
	return name, nil
}

// parseNames reads names or ARNs; nil when there are none.
func parseNames(field, kind string, list []string) (names []string, err error) {
	for _, text := range list {
		name, err := parseName(field, kind, text)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// knownRuleSet reads the rule set that a member of a request names, or refuses with
// NotFoundException.
func knownRuleSet(tx *store.Tx, field, text, lock string) (ruleSet, error) {
	name, err := parseName(field, ruleSetKind, text)
	if err != nil {
		return ruleSet{}, err
	}
	r, err := ruleSetByName(tx, name, lock)
	if errors.Is(err, store.ErrNoRows) {
		return ruleSet{}, apierr.NotFound("%s: rule set %s does not exist", field, name)
	}
	return r, err
}

// resource is the ARN of a rule set or a configuration.
func (s *Service) resource(kind, name string) string {
	return "arn:aws:gamelift:" + s.Home.Region + ":" + s.Home.Account + ":" + kind + "/" + name
}

// freshTags sets the tags of a thing that is being made. Those that an earlier one of its
// name may have left behind must not come back with the name.
func (s *Service) freshTags(tx *store.Tx, resource string, tags []types.Tag) error {
	if err := s.Tags.DropTx(tx, resource); err != nil {
		return err
	}
	return s.Tags.SetTx(tx, resource, tags)
}

func (s *Service) ruleSetModel(r ruleSet) types.MatchmakingRuleSet {
	return types.MatchmakingRuleSet{
		RuleSetName:  new(r.name),
		RuleSetArn:   new(s.resource(ruleSetKind, r.name)),
		RuleSetBody:  new(r.body),
		CreationTime: new(stamp(r.created)),
	}
}

func stamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
