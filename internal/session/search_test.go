package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/expect"
)

// sessions-placement.md 5.1, on rows; the language has its own tests.
func TestSearch(t *testing.T) {
	each(t, func(r *rooms) {
		type input = gamelift.SearchGameSessionsInput
		ctx := t.Context()
		var all, west0, byName []string
		long := strings.Repeat("ä", 500) // longer than a token could hold
		for i := range 45 {
			at := east
			if i%9 == 4 {
				at = west
			}
			p := r.processOf(r.fleet, at)
			in := r.create(int32(i % 4))
			in.Location = new(string(at))
			in.Name = new(fmt.Sprintf("%s%02d", long, 44-i))
			in.GameProperties = []types.GameProperty{{Key: new("odd"), Value: new(fmt.Sprint(i%2 == 1))}}
			if i%5 == 0 {
				in.GameProperties = append(in.GameProperties, types.GameProperty{Key: new("rank"), Value: new(fmt.Sprintf("%02d", 50-i))})
			}
			id := *r.created(in).GameSessionId
			if i == 7 {
				continue // stays ACTIVATING
			}
			expect.OK(t, r.Activate(ctx, p.Key, id))
			all = append(all, id)
			if at == west {
				west0 = append(west0, id)
			}
			if i%5 == 0 {
				byName = append([]string{id}, byName...)
			}
			r.clock.Advance(time.Millisecond)
		}
		search := func(in *input, size int32) []string {
			t.Helper()
			in.FleetId = &r.fleet
			var got []string
			for _, g := range walk(t, int(min(size, 20)), func(token *string) ([]types.GameSession, *string, error) {
				in := *in
				in.Limit, in.NextToken = &size, token
				out, err := r.SearchGameSessions(ctx, &in)
				if err != nil {
					return nil, nil, err
				}
				return out.GameSessions, out.NextToken, nil
			}) {
				got = append(got, *g.GameSessionId)
			}
			return got
		}
		reversed := func(list []string) []string {
			var back []string
			for _, id := range list {
				back = append([]string{id}, back...)
			}
			return back
		}
		for _, size := range []int32{1, 7, 20, 100} {
			for name, c := range map[string]struct {
				in   input
				want []string
			}{
				"all":             {input{}, all},
				"location":        {input{Location: new(string(west))}, west0},
				"oldest first":    {input{SortExpression: new("creationTimeMillis ASC")}, all},
				"newest first":    {input{SortExpression: new("creationTimeMillis DESC")}, reversed(all)},
				"one by its name": {input{FilterExpression: new("gameSessionName = '" + long + "44'")}, all[:1]},
				"nothing":         {input{FilterExpression: new("maximumSessions > 3")}, nil},
			} {
				expect.Same(t, fmt.Sprint(name, " in pages of ", size), strings.Join(search(&c.in, size), "\n"), strings.Join(c.want, "\n"))
			}
			got := search(&input{SortExpression: new("gameSessionProperties.rank ASC")}, size)
			expect.Same(t, fmt.Sprint("those with the property first, in pages of ", size), strings.Join(got[:9], "\n"), strings.Join(byName, "\n"))
			expect.Same(t, "and the others after them", len(got), len(all))
			got = search(&input{SortExpression: new("gameSessionName DESC")}, size)
			expect.Same(t, fmt.Sprint("by long names in pages of ", size), len(got), len(all))
			got = search(&input{SortExpression: new("hasAvailablePlayerSessions DESC"), FilterExpression: new("gameSessionProperties.odd = 'false'")}, size)
			expect.Same(t, fmt.Sprint("by free slots in pages of ", size), len(got), 23)
		}

		first, err := r.SearchGameSessions(ctx, &input{FleetId: &r.fleet})
		expect.OK(t, err)
		expect.Same(t, "without Limit", len(first.GameSessions), 20)
		expect.Same(t, "found as described", expect.JSON(first.GameSessions[0]), expect.JSON(r.game(all[0])))
		_, err = r.SearchGameSessions(ctx, &input{FleetId: &r.fleet, NextToken: first.NextToken, SortExpression: new("creationTimeMillis")})
		expect.Refused(t, "token with another order", err, invalid, "NextToken")
		for name, c := range map[string]struct {
			in         *input
			code, word string
		}{
			"neither":          {&input{}, invalid, "FleetId"},
			"both":             {&input{FleetId: &r.fleet, AliasId: new("alias-1")}, invalid, "AliasId"},
			"unknown fleet":    {&input{FleetId: new(unknownFleet)}, missing, "FleetId"},
			"unknown location": {&input{FleetId: &r.fleet, Location: new("custom-north")}, missing, "Location"},
			"bad filter":       {&input{FleetId: &r.fleet, FilterExpression: new("name = 'x'")}, invalid, "FilterExpression"},
			"bad order":        {&input{FleetId: &r.fleet, SortExpression: new("name")}, invalid, "SortExpression"},
		} {
			_, err := r.SearchGameSessions(ctx, c.in)
			expect.Refused(t, name, err, c.code, c.word)
		}
	})
}
