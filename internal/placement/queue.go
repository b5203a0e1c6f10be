package placement

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	queuesPage = 50 // default and most

	shortestTimeout, longestTimeout = 10, 600 // seconds
)

// queue is a queue's row.
type queue struct {
	key     store.Key
	name    string
	timeout int32  // seconds
	custom  string // CustomEventData
	target  string // NotificationTarget
	deleted bool
	detail
}

// detail is the JSON part of a queue's row: what a pass reads as a whole.
type detail struct {
	Destinations []string                    `json:",omitempty"` // ARNs
	Policies     []types.PlayerLatencyPolicy `json:",omitempty"`
	Priority     []types.PriorityType        `json:",omitempty"`
	Order        []string                    `json:",omitempty"` // of locations
	Allowed      []string                    `json:",omitempty"` // locations; none means all
	// Ranked says that there is a priority configuration, if an empty one.
	Ranked bool `json:",omitempty"`
}

// CreateGameSessionQueue makes a queue. A name that is taken is an InvalidRequestException,
// since no conflict is modelled; a destination of this region that does not exist is a
// NotFoundException, and one of another region is taken unchecked (sessions-placement.md
// 6.1).
func (s *Service) CreateGameSessionQueue(ctx context.Context, in *gamelift.CreateGameSessionQueueInput) (*gamelift.CreateGameSessionQueueOutput, error) {
	q := queue{name: *in.Name, timeout: int32(s.Config.orDefaults().DefaultTimeout.Seconds())}
	if err := q.change(changes{
		in.TimeoutInSeconds, in.Destinations, in.PlayerLatencyPolicies, in.PriorityConfiguration,
		in.FilterConfiguration, in.CustomEventData, in.NotificationTarget,
	}, s.Config.orDefaults().Destinations); err != nil {
		return nil, err
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.destinationsExist(tx, q.Destinations); err != nil {
			return err
		}
		q.key = tx.NewKey()
		ok, err := insertQueue(tx, q)
		if err != nil {
			return err
		}
		if !ok {
			return apierr.InvalidRequest("Name: a queue %s exists", q.name)
		}
		// Tags written while an earlier queue of this name was being deleted must not come
		// back with the name.
		if err := s.Tags.DropTx(tx, s.queueARN(q.name)); err != nil {
			return err
		}
		if err := s.Tags.SetTx(tx, s.queueARN(q.name), in.Tags); err != nil {
			return err
		}
		return takeQuota(tx, s.Config.orDefaults().Queues)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateGameSessionQueueOutput{GameSessionQueue: new(s.queueModel(q))}, nil
}

// UpdateGameSessionQueue changes the members that are given. Lists are replaced as a whole:
// an empty list empties, an empty configuration or text removes. Placements that wait
// follow at once.
func (s *Service) UpdateGameSessionQueue(ctx context.Context, in *gamelift.UpdateGameSessionQueueInput) (*gamelift.UpdateGameSessionQueueOutput, error) {
	var q queue
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if q, err = knownQueue(tx, "Name", *in.Name, tx.ForUpdate()); err != nil {
			return err
		}
		before := q.Policies
		if err := q.change(changes{
			in.TimeoutInSeconds, in.Destinations, in.PlayerLatencyPolicies, in.PriorityConfiguration,
			in.FilterConfiguration, in.CustomEventData, in.NotificationTarget,
		}, s.Config.orDefaults().Destinations); err != nil {
			return err
		}
		if in.Destinations != nil {
			if err := s.destinationsExist(tx, q.Destinations); err != nil {
				return err
			}
		}
		if err := saveQueue(tx, q); err != nil {
			return err
		}
		if !samePolicies(before, q.Policies) {
			// What waits finds out anew where latencies let it go.
			if err := stepNow(tx, q.key); err != nil {
				return err
			}
		}
		notify(tx, q.key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UpdateGameSessionQueueOutput{GameSessionQueue: new(s.queueModel(q))}, nil
}

// DescribeGameSessionQueues lists queues, oldest first: all, or those named by name or ARN.
// Names that are unknown are left out.
func (s *Service) DescribeGameSessionQueues(ctx context.Context, in *gamelift.DescribeGameSessionQueuesInput) (*gamelift.DescribeGameSessionQueuesOutput, error) {
	var after store.Key
	if _, err := page.Decode("DescribeGameSessionQueues", in.Names, in.NextToken, &after); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range in.Names {
		name, err := parseQueue("Names", n)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	size := page.Size(in.Limit, queuesPage, queuesPage)
	out := &gamelift.DescribeGameSessionQueuesOutput{GameSessionQueues: []types.GameSessionQueue{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		list, err := pageOfQueues(tx, names, after, size+1)
		if err != nil {
			return err
		}
		list, out.NextToken = page.Cut(list, size, func(q queue) string { return page.Encode("DescribeGameSessionQueues", in.Names, q.key) })
		for _, q := range list {
			out.GameSessionQueues = append(out.GameSessionQueues, s.queueModel(q))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteGameSessionQueue deletes a queue; its name may be used again at once. Placements
// that are pending fail, and game sessions that are being started for them end; when the
// answer is given that is done, unless the call was interrupted, and then the next tick
// does it.
func (s *Service) DeleteGameSessionQueue(ctx context.Context, in *gamelift.DeleteGameSessionQueueInput) (*gamelift.DeleteGameSessionQueueOutput, error) {
	var q queue
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if q, err = knownQueue(tx, "Name", *in.Name, tx.ForUpdate()); err != nil {
			return err
		}
		if err := dropQueue(tx, q.key); err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, s.queueARN(q.name)); err != nil {
			return err
		}
		return giveQuota(tx)
	})
	if err != nil {
		return nil, err
	}
	if err := s.failAll(ctx, q.key); err != nil {
		return nil, err
	}
	return &gamelift.DeleteGameSessionQueueOutput{}, nil
}

// changes are the members that create and update share.
type changes struct {
	timeout      *int32
	destinations []types.GameSessionQueueDestination
	policies     []types.PlayerLatencyPolicy
	priority     *types.PriorityConfiguration
	filter       *types.FilterConfiguration
	custom       *string
	target       *string
}

// change checks what is given and takes it over (sessions-placement.md 6.1).
func (q *queue) change(c changes, mostDestinations int) error {
	if c.timeout != nil {
		if *c.timeout < shortestTimeout || *c.timeout > longestTimeout {
			return apierr.InvalidRequest("TimeoutInSeconds: %d is not between %d and %d", *c.timeout, shortestTimeout, longestTimeout)
		}
		q.timeout = *c.timeout
	}
	if c.destinations != nil {
		if n := len(c.destinations); n > mostDestinations {
			return apierr.InvalidRequest("Destinations: %d, and %d is the most", n, mostDestinations)
		}
		q.Destinations = nil
		for i, d := range c.destinations {
			if d.DestinationArn == nil {
				return apierr.InvalidRequest("Destinations[%d].DestinationArn: it is required", i)
			}
			if _, _, err := parseDestination(*d.DestinationArn); err != nil {
				return apierr.InvalidRequest("Destinations[%d].DestinationArn: %v", i, err)
			}
			q.Destinations = append(q.Destinations, *d.DestinationArn)
		}
	}
	if c.policies != nil {
		if err := checkPolicies(c.policies); err != nil {
			return err
		}
		q.Policies = c.policies
	}
	if c.priority != nil {
		if v, ok := repeated(c.priority.PriorityOrder); ok {
			return apierr.InvalidRequest("PriorityConfiguration.PriorityOrder: %s is given twice", v)
		}
		if v, ok := repeated(c.priority.LocationOrder); ok {
			return apierr.InvalidRequest("PriorityConfiguration.LocationOrder: %s is given twice", v)
		}
		q.Priority, q.Order = c.priority.PriorityOrder, c.priority.LocationOrder
		q.Ranked = len(q.Priority) > 0 || len(q.Order) > 0
	}
	if c.filter != nil {
		if v, ok := repeated(c.filter.AllowedLocations); ok {
			return apierr.InvalidRequest("FilterConfiguration.AllowedLocations: %s is given twice", v)
		}
		q.Allowed = c.filter.AllowedLocations
	}
	if c.custom != nil {
		q.custom = *c.custom
	}
	if c.target != nil {
		q.target = *c.target
	}
	return nil
}

func checkPolicies(list []types.PlayerLatencyPolicy) error {
	var caps []int32
	for i, p := range list {
		if p.MaximumIndividualPlayerLatencyMilliseconds == nil {
			return apierr.InvalidRequest("PlayerLatencyPolicies[%d].MaximumIndividualPlayerLatencyMilliseconds: it is required", i)
		}
		caps = append(caps, *p.MaximumIndividualPlayerLatencyMilliseconds)
	}
	if v, ok := repeated(caps); ok {
		return apierr.InvalidRequest("PlayerLatencyPolicies: two of them have the maximum of %d ms", v)
	}
	return nil
}

// repeated finds a value that stands in a list twice.
func repeated[T comparable](list []T) (v T, ok bool) {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return v, true
		}
	}
	return v, false
}

func samePolicies(a, b []types.PlayerLatencyPolicy) bool {
	return slices.EqualFunc(a, b, func(a, b types.PlayerLatencyPolicy) bool {
		x, y := a.PolicyDurationSeconds, b.PolicyDurationSeconds
		return *a.MaximumIndividualPlayerLatencyMilliseconds == *b.MaximumIndividualPlayerLatencyMilliseconds &&
			(x == nil) == (y == nil) && (x == nil || *x == *y)
	})
}

var errNotDestination = errors.New("it must be the ARN of a fleet or an alias")

// parseDestination reads the ARN of a destination: its region, and the fleet's or alias's id.
func parseDestination(text string) (region, id string, err error) {
	kind, id, ok := arn.Resource(text)
	if !ok {
		return "", "", errNotDestination
	}
	switch kind {
	case "fleet", "containerfleet":
		_, err = arn.ParseFleet(text)
	case "alias":
		_, err = arn.ParseAlias(text)
	default:
		err = errNotDestination
	}
	return strings.SplitN(text, ":", 5)[3], id, err
}

// destinationsExist refuses destinations of this region that are not there. Aliases are not
// resolved.
func (s *Service) destinationsExist(tx *store.Tx, destinations []string) error {
	for i, text := range destinations {
		region, id, _ := parseDestination(text)
		if region != s.Home.Region {
			continue
		}
		kind, _, _ := arn.Resource(text)
		if kind == "containerfleet" {
			kind = "fleet"
		}
		found, err := s.Fleets.ExistsTx(tx, kind, id)
		if err != nil {
			return err
		}
		if !found {
			return apierr.NotFound("Destinations[%d].DestinationArn: %s %s does not exist", i, kind, id)
		}
	}
	return nil
}

// parseQueue reads a queue's name or ARN.
func parseQueue(field, text string) (string, error) {
	if !strings.HasPrefix(text, "arn:") {
		return text, nil
	}
	kind, name, ok := arn.Resource(text)
	if !ok || kind != queueKind {
		return "", apierr.InvalidRequest("%s: %q is not a queue", field, text)
	}
	return name, nil
}

// knownQueue reads the queue that a member of a request names, or refuses with
// NotFoundException.
func knownQueue(tx *store.Tx, field, text, lock string) (queue, error) {
	name, err := parseQueue(field, text)
	if err != nil {
		return queue{}, err
	}
	q, err := queueByName(tx, name, lock)
	if errors.Is(err, store.ErrNoRows) {
		return queue{}, noQueue(field, name)
	}
	return q, err
}

func noQueue(field, name string) error {
	return apierr.NotFound("%s: queue %s does not exist", field, name)
}

func (s *Service) queueARN(name string) string {
	return "arn:aws:gamelift:" + s.Home.Region + ":" + s.Home.Account + ":" + queueKind + "/" + name
}

// queueModel is the queue as callers see it; what is empty is absent, and so are the tags.
func (s *Service) queueModel(q queue) types.GameSessionQueue {
	m := types.GameSessionQueue{
		Name:                  new(q.name),
		GameSessionQueueArn:   new(s.queueARN(q.name)),
		TimeoutInSeconds:      new(q.timeout),
		PlayerLatencyPolicies: q.Policies,
		CustomEventData:       given(q.custom),
		NotificationTarget:    given(q.target),
	}
	for _, d := range q.Destinations {
		m.Destinations = append(m.Destinations, types.GameSessionQueueDestination{DestinationArn: &d})
	}
	if q.Ranked {
		m.PriorityConfiguration = &types.PriorityConfiguration{PriorityOrder: q.Priority, LocationOrder: q.Order}
	}
	if len(q.Allowed) > 0 {
		m.FilterConfiguration = &types.FilterConfiguration{AllowedLocations: q.Allowed}
	}
	return m
}

// given is nil for the text that stands for none.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func stamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
