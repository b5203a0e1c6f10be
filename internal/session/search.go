package session

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// SearchGameSessions finds ACTIVE game sessions of one fleet, at most 20 at a time
// (sessions-placement.md 5). It answers from the data as it is, not from an index that lags
// behind. Without a SortExpression the order is that of creation.
func (s *Service) SearchGameSessions(ctx context.Context, in *gamelift.SearchGameSessionsInput) (*gamelift.SearchGameSessionsOutput, error) {
	q, err := parseSearch(in)
	if err != nil {
		return nil, err
	}
	most := s.Config.orDefaults().SearchMost
	size := page.Size(in.Limit, most, most)
	out := &gamelift.SearchGameSessionsOutput{GameSessions: []types.GameSession{}}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := s.target(tx, in.FleetId, in.AliasId, false)
		if err != nil {
			return err
		}
		if in.Location != nil {
			if _, err := s.place(tx, f, arn.Location(*in.Location)); err != nil {
				return err
			}
		}
		hits, err := s.search(tx, f.Key, in.Location, q, size+1)
		if err != nil {
			return err
		}
		if len(hits) > size {
			hits = hits[:size]
			out.NextToken = new(q.token(hits[size-1]))
		}
		keys := make([]store.Key, len(hits))
		for i, h := range hits {
			keys[i] = h.key
		}
		games, err := gamesByKey(tx, keys)
		for _, g := range games {
			out.GameSessions = append(out.GameSessions, s.gameModel(g))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// searching is a parsed search.
type searching struct {
	bind   any
	filter *filter // nil for all
	sort   *order  // nil for the order of creation
	after  hit     // the last one of the page before
	more   bool    // there was a page before
	order  *order  // compares ranks
}

// hit is a game session that was found. Its rank holds what the order compares, and no
// more, so that a token can hold it too.
type hit struct {
	key  store.Key
	rank searched
}

func parseSearch(in *gamelift.SearchGameSessionsInput) (q searching, err error) {
	if in.FilterExpression != nil {
		if q.filter, err = parseFilter(*in.FilterExpression); err != nil {
			return q, err
		}
	}
	q.bind = []any{in.FleetId, in.AliasId, in.Location, in.FilterExpression, in.SortExpression}
	if in.SortExpression == nil {
		q.more, err = page.Decode(searchOp, q.bind, in.NextToken, &q.after.key)
		return q, err
	}
	if q.sort, err = parseSort(*in.SortExpression); err != nil {
		return q, err
	}
	q.order = &order{descending: q.sort.descending, by: operand{
		kind:   q.sort.by.kind,
		text:   rankText,
		number: func(g *searched) int64 { return g.createdMs },
	}}
	var present int
	var text string
	q.more, err = page.Decode(searchOp, q.bind, in.NextToken, &present, &text, &q.after.rank.createdMs, &q.after.rank.id)
	if present == 1 {
		q.after.rank.name = &text
	}
	return q, err
}

func rankText(g *searched) (string, bool) {
	if g.name == nil {
		return "", false
	}
	return *g.name, true
}

const searchOp = "SearchGameSessions"

// token goes on after a hit.
func (q searching) token(h hit) string {
	if q.sort == nil {
		return page.Encode(searchOp, q.bind, h.key)
	}
	present := 0
	text, ok := rankText(&h.rank)
	if ok {
		present = 1
	}
	return page.Encode(searchOp, q.bind, present, text, h.rank.createdMs, h.rank.id)
}

// mostRank is how many bytes of a text the order looks at: what fits into a token. Texts
// equal so far come by id.
const mostRank = 300

// rank puts the value by which a game session is sorted where the order finds it.
func (q searching) rank(g *searched) searched {
	r := searched{id: g.id}
	if q.sort.by.kind != textOperand {
		r.createdMs = q.sort.by.number(g)
		return r
	}
	if text, ok := q.sort.by.text(g); ok {
		if len(text) > mostRank {
			n := mostRank
			for !utf8.RuneStart(text[n]) {
				n--
			}
			text = text[:n]
		}
		r.name = &text
	}
	return r
}

// search finds the first n game sessions after the cursor.
func (s *Service) search(tx *store.Tx, fleet store.Key, location *string, q searching, n int) ([]hit, error) {
	var hits []hit
	compare := func(a, b hit) int { return q.order.compare(&a.rank, &b.rank) }
	err := searchable(tx, fleet, location, q.after.key, func(g game) bool {
		r := &searched{id: string(s.gameARN(g)), name: g.name, properties: g.properties, maximum: g.maximum, players: g.players, createdMs: g.createdAt}
		if q.filter != nil && !q.filter.match(r) {
			return false
		}
		if q.sort == nil {
			hits = append(hits, hit{key: g.key})
			return len(hits) == n
		}
		h := hit{g.key, q.rank(r)}
		if q.more && compare(h, q.after) <= 0 {
			return false
		}
		at, _ := slices.BinarySearchFunc(hits, h, compare)
		if at < n {
			hits = slices.Insert(hits, at, h)
			hits = hits[:min(len(hits), n)]
		}
		return false
	})
	return hits, err
}
