package placement_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

// described are queues by name, in order.
func (r *rooms) described(in *gamelift.DescribeGameSessionQueuesInput) (list []types.GameSessionQueue, names string) {
	r.t.Helper()
	out, err := r.DescribeGameSessionQueues(r.t.Context(), in)
	expect.OK(r.t, err)
	var all []string
	for _, q := range out.GameSessionQueues {
		all = append(all, *q.Name)
	}
	return out.GameSessionQueues, strings.Join(all, " ")
}

func (r *rooms) one(name string) types.GameSessionQueue {
	r.t.Helper()
	list, _ := r.described(&gamelift.DescribeGameSessionQueuesInput{Names: []string{name}})
	if len(list) != 1 {
		r.t.Fatalf("queue %s: got %d", name, len(list))
	}
	return list[0]
}

func TestQueueFromCreateToDelete(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		f := r.newFleet("", east)
		out, err := r.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{Name: new("bare")})
		expect.OK(t, err)
		expect.Same(t, "bare", expect.Members(out.GameSessionQueue), "GameSessionQueueArn Name TimeoutInSeconds")
		expect.Same(t, "ARN", *out.GameSessionQueue.GameSessionQueueArn, "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/bare")
		expect.Same(t, "timeout", *out.GameSessionQueue.TimeoutInSeconds, 600)

		r.queue("full", func(in *gamelift.CreateGameSessionQueueInput) {
			in.TimeoutInSeconds = new(int32(10))
			in.PlayerLatencyPolicies = []types.PlayerLatencyPolicy{
				{MaximumIndividualPlayerLatencyMilliseconds: new(int32(100))},
				{MaximumIndividualPlayerLatencyMilliseconds: new(int32(50)), PolicyDurationSeconds: new(int32(5))},
			}
			in.PriorityConfiguration = &types.PriorityConfiguration{PriorityOrder: []types.PriorityType{types.PriorityTypeCost}, LocationOrder: []string{west, east}}
			in.FilterConfiguration = &types.FilterConfiguration{AllowedLocations: []string{east}}
			in.CustomEventData, in.NotificationTarget = new("data"), new("arn:aws:sns:us-west-2:123456789012:topic.fifo")
			in.Tags = []types.Tag{{Key: new("team"), Value: new("red")}}
		}, f, f)
		q := r.one("full")
		expect.Same(t, "full", expect.Members(q), "CustomEventData Destinations FilterConfiguration GameSessionQueueArn Name NotificationTarget PlayerLatencyPolicies PriorityConfiguration TimeoutInSeconds")
		expect.Same(t, "destinations", len(q.Destinations), 2)
		expect.Same(t, "policies keep their order", *q.PlayerLatencyPolicies[0].MaximumIndividualPlayerLatencyMilliseconds, 100)
		tags, err := r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: q.GameSessionQueueArn})
		expect.OK(t, err)
		expect.Same(t, "tag", *tags.Tags[0].Value, "red")

		// Members that are absent stay.
		up, err := r.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: q.GameSessionQueueArn, TimeoutInSeconds: new(int32(20))})
		expect.OK(t, err)
		expect.Same(t, "after a timeout", expect.Members(up.GameSessionQueue), expect.Members(q))
		expect.Same(t, "timeout", *r.one("full").TimeoutInSeconds, 20)
		// Lists are replaced; empty ones empty, {} and "" remove.
		_, err = r.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{
			Name:                  new("full"),
			Destinations:          destinations(f),
			PlayerLatencyPolicies: []types.PlayerLatencyPolicy{},
			PriorityConfiguration: &types.PriorityConfiguration{},
			FilterConfiguration:   &types.FilterConfiguration{},
			CustomEventData:       new(""), NotificationTarget: new(""),
		})
		expect.OK(t, err)
		q = r.one("full")
		expect.Same(t, "emptied", expect.Members(q), "Destinations GameSessionQueueArn Name TimeoutInSeconds")
		expect.Same(t, "destinations", len(q.Destinations), 1)
		_, err = r.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: new("full"), Destinations: []types.GameSessionQueueDestination{}})
		expect.OK(t, err)
		expect.Same(t, "no destinations", expect.Members(r.one("full")), "GameSessionQueueArn Name TimeoutInSeconds")

		_, err = r.DeleteGameSessionQueue(ctx, &gamelift.DeleteGameSessionQueueInput{Name: q.GameSessionQueueArn})
		expect.OK(t, err)
		_, err = r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: q.GameSessionQueueArn})
		expect.Refused(t, "tags of a deleted queue", err, missing, "full")
		_, err = r.DeleteGameSessionQueue(ctx, &gamelift.DeleteGameSessionQueueInput{Name: new("full")})
		expect.Refused(t, "deleted again", err, missing, "Name", "full")
		_, err = r.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{Name: new("full")})
		expect.Refused(t, "changed after deletion", err, missing, "Name", "full")
		// The name may be used again, without what was.
		r.queue("full", nil, f)
		tags, err = r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: q.GameSessionQueueArn})
		expect.OK(t, err)
		expect.Same(t, "tags of the new one", len(tags.Tags), 0)
	})
}

func TestRefusalsOfQueues(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("taken", nil, f)
		latency := func(ms ...int32) (list []types.PlayerLatencyPolicy) {
			for _, n := range ms {
				list = append(list, types.PlayerLatencyPolicy{MaximumIndividualPlayerLatencyMilliseconds: &n})
			}
			return list
		}
		type input = gamelift.CreateGameSessionQueueInput
		for _, c := range []struct {
			what   string
			change func(*input)
			code   string
			words  string
		}{
			{"name", func(in *input) { in.Name = new("taken") }, invalid, "Name: a queue taken"},
			{"timeout too short", func(in *input) { in.TimeoutInSeconds = new(int32(9)) }, invalid, "TimeoutInSeconds"},
			{"timeout too long", func(in *input) { in.TimeoutInSeconds = new(int32(601)) }, invalid, "TimeoutInSeconds"},
			{"too many destinations", func(in *input) { in.Destinations = destinations(f, f, f, f, f, f, f, f, f, f, f) }, invalid, "Destinations: 11"},
			{"no destination", func(in *input) { in.Destinations = []types.GameSessionQueueDestination{{}} }, invalid, "Destinations[0].DestinationArn"},
			{"an id", func(in *input) { in.Destinations = []types.GameSessionQueueDestination{{DestinationArn: &f}} }, invalid, "Destinations[0].DestinationArn"},
			{"a queue", func(in *input) {
				in.Destinations = destinations("arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/taken")
			}, invalid, "Destinations[0].DestinationArn"},
			{"unknown fleet", func(in *input) { in.Destinations = destinations(f, unknownFleet) }, missing, "Destinations[1].DestinationArn: fleet " + unknownFleet},
			{"unknown alias", func(in *input) { in.Destinations = destinations(unknownAlias) }, missing, unknownAlias},
			{"policy without maximum", func(in *input) { in.PlayerLatencyPolicies = []types.PlayerLatencyPolicy{{}} }, invalid, "PlayerLatencyPolicies[0].MaximumIndividual"},
			{"two policies of one maximum", func(in *input) { in.PlayerLatencyPolicies = latency(50, 60, 50) }, invalid, "PlayerLatencyPolicies"},
			{"priority twice", func(in *input) {
				in.PriorityConfiguration = &types.PriorityConfiguration{PriorityOrder: []types.PriorityType{types.PriorityTypeCost, types.PriorityTypeCost}}
			}, invalid, "PriorityConfiguration.PriorityOrder: COST"},
			{"location twice in the order", func(in *input) {
				in.PriorityConfiguration = &types.PriorityConfiguration{LocationOrder: []string{east, west, east}}
			}, invalid, "PriorityConfiguration.LocationOrder: custom-east"},
			{"location twice in the filter", func(in *input) {
				in.FilterConfiguration = &types.FilterConfiguration{AllowedLocations: []string{east, east}}
			}, invalid, "FilterConfiguration.AllowedLocations: custom-east"},
			{"tag twice", func(in *input) {
				in.Tags = []types.Tag{{Key: new("a"), Value: new("1")}, {Key: new("a"), Value: new("2")}}
			}, invalid, "Tags"},
			{"too many tags", func(in *input) {
				for i := range 51 {
					in.Tags = append(in.Tags, types.Tag{Key: new(fmt.Sprint(i)), Value: new("")})
				}
			}, tagging, "51"},
		} {
			in := &input{Name: new("new")}
			c.change(in)
			_, err := r.CreateGameSessionQueue(t.Context(), in)
			expect.Refused(t, c.what, err, c.code, c.words)
		}
		_, names := r.described(&gamelift.DescribeGameSessionQueuesInput{})
		expect.Same(t, "what is left of them", names, "taken")

		// An update is held to the same, and changes nothing when it is refused.
		for what, in := range map[string]*gamelift.UpdateGameSessionQueueInput{
			"TimeoutInSeconds":      {TimeoutInSeconds: new(int32(0))},
			"Destinations[0]":       {Destinations: destinations(unknownFleet), TimeoutInSeconds: new(int32(11))},
			"PlayerLatencyPolicies": {PlayerLatencyPolicies: latency(1, 1), TimeoutInSeconds: new(int32(11))},
		} {
			in.Name = new("taken")
			_, err := r.UpdateGameSessionQueue(t.Context(), in)
			expect.Refused(t, what, err, map[bool]string{true: missing, false: invalid}[strings.HasPrefix(what, "Dest")], what)
		}
		expect.Same(t, "timeout", *r.one("taken").TimeoutInSeconds, 600)

		// A fleet of another region is taken as it is; so is an alias, wherever it leads.
		alias, err := r.Fleets.CreateAlias(t.Context(), &gamelift.CreateAliasInput{
			Name: new("closed"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: new("closed")},
		})
		expect.OK(t, err)
		r.queue("wide", nil, "arn:aws:gamelift:eu-west-1:123456789012:fleet/"+unknownFleet, *alias.Alias.AliasId, "arn:aws:gamelift:us-west-2:999999999999:alias/"+*alias.Alias.AliasId)
	})
}

func TestQuotaOfQueues(t *testing.T) {
	each(t, func(r *rooms) {
		for i := range 20 {
			r.queue(fmt.Sprintf("q%d", i), nil)
		}
		_, err := r.CreateGameSessionQueue(t.Context(), &gamelift.CreateGameSessionQueueInput{Name: new("one-more")})
		expect.Refused(t, "the 21st", err, overLimit, "20 queues")
		_, err = r.DeleteGameSessionQueue(t.Context(), &gamelift.DeleteGameSessionQueueInput{Name: new("q7")})
		expect.OK(t, err)
		r.queue("one-more", nil)
	})
}

func TestPagesOfQueues(t *testing.T) {
	each(t, func(r *rooms) {
		r.Config.Queues = 100
		var want []string
		for i := range 60 {
			want = append(want, fmt.Sprintf("q%02d", 59-i))
			r.queue(want[i], nil)
		}
		for _, limit := range []int32{1, 7, 50, 1000} {
			var got []string
			in := &gamelift.DescribeGameSessionQueuesInput{Limit: &limit}
			for pages := 0; ; pages++ {
				out, err := r.DescribeGameSessionQueues(t.Context(), in)
				expect.OK(t, err)
				if n := len(out.GameSessionQueues); n > min(int(limit), 50) || n == 0 {
					t.Fatalf("limit %d: a page of %d", limit, n)
				}
				for _, q := range out.GameSessionQueues {
					got = append(got, *q.Name)
				}
				if in.NextToken = out.NextToken; in.NextToken == nil {
					break
				}
			}
			expect.Same(t, fmt.Sprint("limit ", limit), strings.Join(got, " "), strings.Join(want, " "))
		}
		// Names and ARNs; what is unknown is left out, and a token is for its names.
		in := &gamelift.DescribeGameSessionQueuesInput{Limit: new(int32(1)), Names: []string{"q03", "arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/q55", "nobody"}}
		out, err := r.DescribeGameSessionQueues(t.Context(), in)
		expect.OK(t, err)
		expect.Same(t, "first", *out.GameSessionQueues[0].Name, "q55")
		in.NextToken = out.NextToken
		_, names := r.described(in)
		expect.Same(t, "second", names, "q03")
		_, err = r.DescribeGameSessionQueues(t.Context(), &gamelift.DescribeGameSessionQueuesInput{Limit: new(int32(1)), NextToken: in.NextToken})
		expect.Refused(t, "a token of other names", err, invalid, "NextToken")
		_, err = r.DescribeGameSessionQueues(t.Context(), &gamelift.DescribeGameSessionQueuesInput{Names: []string{"arn:aws:gamelift:us-west-2:123456789012:fleet/x"}})
		expect.Refused(t, "a fleet's ARN", err, invalid, "Names")
		_, names = r.described(&gamelift.DescribeGameSessionQueuesInput{Names: []string{"nobody"}})
		expect.Same(t, "nobody", names, "")
	})
}

// A placement that comes while its queue is being deleted is refused or fails; none is left.
func TestStartsWhileTheQueueIsDeleted(t *testing.T) {
	each(t, func(r *rooms) {
		r.queue("arena", nil, r.newFleet("", east))
		const n = 40
		errs := make(chan error, n)
		begun := make(chan struct{}, n)
		for i := range n {
			go func() {
				if i > 10 {
					<-begun
				}
				_, err := r.StartGameSessionPlacement(t.Context(), asks(fmt.Sprint("p", i), "arena"))
				begun <- struct{}{}
				errs <- err
			}()
		}
		<-begun
		_, err := r.DeleteGameSessionQueue(t.Context(), &gamelift.DeleteGameSessionQueueInput{Name: new("arena")})
		expect.OK(t, err)
		begun <- struct{}{}
		for range n {
			if err := <-errs; err != nil {
				expect.Refused(t, "late", err, missing, "arena")
			}
		}
		r.tick(0)
		expect.OK(t, r.DB.Read(t.Context(), func(tx *store.Tx) error {
			var pending, queues int
			if err := tx.QueryRow(`SELECT (SELECT count(*) FROM placement WHERE status = 1), (SELECT count(*) FROM game_session_queue)`).Scan(&pending, &queues); err != nil {
				return err
			}
			expect.Same(t, "pending", pending, 0)
			expect.Same(t, "rows of queues", queues, 0)
			return nil
		}))
	})
}
