package paginate_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/paginate"
)

// service answers DescribePlayerSessions from memory. It either cuts players by
// the Limit it is sent, with "t" and the offset for tokens, or serves the pages
// of graph by token, "" being the first.
type service struct {
	paginate.API // the other operations; calling them is a mistake

	players      []types.PlayerSession
	defaultLimit int
	graph        map[string]answer
	before       func(ctx context.Context, call int) error // runs first in each call

	mu    sync.Mutex
	calls []call
}

// answer is a page of the graph. Nil players are a page without the member.
type answer struct {
	players []string
	next    *string
}

type call struct {
	token string
	limit int32
}

func (s *service) DescribePlayerSessions(
	ctx context.Context, in *gamelift.DescribePlayerSessionsInput, _ ...func(*gamelift.Options),
) (*gamelift.DescribePlayerSessionsOutput, error) {
	c := call{token: value(in.NextToken), limit: value(in.Limit)}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	n := len(s.calls)
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(ctx, n); err != nil {
			return nil, err
		}
	}
	out := &gamelift.DescribePlayerSessionsOutput{}
	if s.graph != nil {
		page, ok := s.graph[c.token]
		if !ok {
			return nil, &types.InvalidRequestException{Message: new("no such page")}
		}
		if page.players != nil {
			out.PlayerSessions = players(page.players...)
		}
		out.NextToken = page.next
		return out, nil
	}
	start := 0
	if c.token != "" {
		var err error
		if start, err = strconv.Atoi(c.token[1:]); err != nil {
			return nil, &types.InvalidRequestException{Message: new("NextToken")}
		}
	}
	limit := int(c.limit)
	if in.Limit == nil {
		limit = s.defaultLimit
	}
	end := min(start+limit, len(s.players))
	out.PlayerSessions = s.players[start:end] // shared on purpose: nobody may write to it
	if end < len(s.players) {
		out.NextToken = new(fmt.Sprintf("t%d", end))
	}
	return out, nil
}

// list is a service of n players p0, p1, …
func list(n, defaultLimit int) *service {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("p%d", i)
	}
	return &service{players: players(ids...), defaultLimit: defaultLimit}
}

func players(ids ...string) []types.PlayerSession {
	sessions := make([]types.PlayerSession, len(ids))
	for i, id := range ids {
		sessions[i] = types.PlayerSession{PlayerSessionId: &id}
	}
	return sessions
}

func value[T any](p *T) T {
	var v T
	if p != nil {
		v = *p
	}
	return v
}

type iterator = paginate.Iter[gamelift.DescribePlayerSessionsInput, gamelift.DescribePlayerSessionsOutput, types.PlayerSession]

func newIter(t testing.TB, s *service, o paginate.Options) *iterator {
	t.Helper()
	it, err := paginate.New(paginate.DescribePlayerSessions, s, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func id(p types.PlayerSession) string { return *p.PlayerSessionId }

// take reads up to n items, or all if n is negative, and says where it stopped.
func take(t testing.TB, it *iterator, n int) (ids []string, token string, more bool, err error) {
	t.Helper()
	if n != 0 {
		for p, failed := range it.Items(t.Context()) {
			if failed != nil {
				err = failed
				break
			}
			if ids = append(ids, id(p)); len(ids) == n {
				break
			}
		}
	}
	token, more = it.ResumeToken()
	return ids, token, more, err
}

// inputAt is an input that begins at a token of the service.
func inputAt(token string) *gamelift.DescribePlayerSessionsInput {
	return &gamelift.DescribePlayerSessionsInput{NextToken: &token}
}
