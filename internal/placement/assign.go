package placement

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// claim is a placement that a transaction tries to find a home for.
type claim struct {
	*placement
	asked request
	text  string // asked, as its row has it, when it is new
	wish  wish
	trace trace

	ranking *ranking
	class   string           // of claims that share a ranking; "" for one of its own
	chosen  int              // index of the candidate; -1 for none
	process compute.Reserved // when chosen
}

// assigning is the work of one transaction for one queue.
type assigning struct {
	s     *Service
	tx    *store.Tx
	stock stock
	left  map[tried]int       // free processes that nobody has yet
	shut  map[string]bool     // locations that are left to others
	ranks map[string]*ranking // by class
	why   map[tried]string    // why a place had no free process
	texts map[string]json.RawMessage
}

func (s *Service) assigner(tx *store.Tx, st stock) *assigning {
	a := &assigning{
		s: s, tx: tx, stock: st, left: map[tried]int{}, shut: map[string]bool{},
		ranks: map[string]*ranking{}, why: map[tried]string{}, texts: map[string]json.RawMessage{},
	}
	for _, d := range st.destinations {
		for _, p := range d.places {
			a.left[tried{d.fleet, p.location}] = p.free
		}
	}
	return a
}

func (c candidate) at() tried { return tried{c.fleet, c.location} }

// rank ranks the places for a claim. Claims without latencies and attempts share rankings.
func (a *assigning) rank(c *claim) {
	c.chosen = -1
	if len(c.wish.Latencies) == 0 && len(c.trace.Tried) == 0 {
		c.class = fmt.Sprint("as ", c.wish.Only, " ", strings.Join(c.wish.Override, " "))
		if c.ranking = a.ranks[c.class]; c.ranking != nil {
			return
		}
	}
	c.ranking = new(rank(a.stock.offer, c.wish))
	if c.class != "" {
		a.ranks[c.class] = c.ranking
	}
}

// choose finds the best candidate that has a free process: among those not tried yet or,
// when none of them has, among all.
func (a *assigning) choose(c *claim) int {
	again := -1
	for i, k := range c.ranking.candidates {
		if a.left[k.at()] == 0 || a.shut[k.location] {
			continue
		}
		if !slices.Contains(c.trace.Tried, k.at()) {
			return i
		}
		if again < 0 {
			again = i
		}
	}
	return again
}

// assign gives processes to claims, in their order, until there are no more of either. What
// was free a moment ago may be gone by the time it is reserved; then the claim goes on with
// its next candidate.
func (a *assigning) assign(claims []*claim) error {
	for _, c := range claims {
		a.rank(c)
	}
	waiting := claims
	for {
		plan := map[tried][]*claim{}
		for _, c := range waiting {
			if i := a.choose(c); i >= 0 {
				at := c.ranking.candidates[i].at()
				c.chosen = i
				a.left[at]--
				plan[at] = append(plan[at], c)
			}
		}
		if len(plan) == 0 {
			return nil
		}
		var missed []*claim
		for _, at := range slices.SortedFunc(maps.Keys(plan), func(x, y tried) int {
			return cmp.Or(cmp.Compare(x.Fleet, y.Fleet), cmp.Compare(x.Location, y.Location))
		}) {
			list := plan[at]
			got, err := a.s.Computes.ReserveManyTx(a.tx, a.stock.fleets[at.Fleet], arn.Location(at.Location), len(list))
			if err != nil {
				return err
			}
			for i, p := range got {
				list[i].process = p
			}
			for _, c := range list[len(got):] {
				c.chosen = -1
				a.left[at] = 0
				missed = append(missed, c)
			}
		}
		if len(missed) == 0 {
			return nil
		}
		slices.SortFunc(missed, func(x, y *claim) int { return cmp.Compare(x.key, y.key) })
		waiting = missed
	}
}

// begin starts the game sessions of the claims that got a process, and fills in what the
// placements show of them. It returns those claims.
func (a *assigning) begin(claims []*claim) ([]*claim, error) {
	var lucky []*claim
	var ids []string
	for _, c := range claims {
		if c.chosen >= 0 {
			lucky = append(lucky, c)
			ids = append(ids, c.id)
		}
	}
	if len(lucky) == 0 {
		return nil, nil
	}
	used, err := a.s.Sessions.UsedTx(a.tx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]session.Starting, len(lucky))
	for i, c := range lucky {
		k := c.ranking.candidates[c.chosen]
		id, err := a.unused(used, k.fleet, c.id)
		if err != nil {
			return nil, err
		}
		list[i] = session.Starting{
			ID: id, Fleet: a.stock.fleets[k.fleet], Location: arn.Location(k.location), Process: c.process,
			Maximum: c.maximum, Name: c.asked.Name, Data: c.asked.Data, Matchmaker: c.asked.Matchmaker,
			Properties: c.asked.Properties,
		}
	}
	started, err := a.s.Sessions.StartManyTx(a.tx, list)
	if err != nil {
		return nil, err
	}
	for i, c := range lucky {
		c.game, c.gameARN, c.location = &started[i].Key, new(string(started[i].ARN)), new(string(list[i].Location))
		c.ip, c.dns, c.port = &c.process.IPAddress, c.process.DNSName, &c.process.Port
		at := c.ranking.candidates[c.chosen].at()
		if slices.Contains(c.trace.Tried, at) {
			c.trace.Tried = nil // all had their turn
		}
		c.trace.Tried = append(c.trace.Tried, at)
		c.trace.attempt(Attempt{At: a.tx.Now, GameSession: *c.gameARN, Fleet: string(at.Fleet), Location: at.Location})
	}
	return lucky, nil
}

// longestID is the size of a placement's id, and of the id it gives its game session.
const longestID = 48

// unused is the id of a placement's game session: the placement's own or, where the fleet
// has had that one, with -2, -3 and so on behind it (sessions-placement.md 6.7).
func (a *assigning) unused(used map[session.Named]bool, f arn.FleetID, id string) (string, error) {
	try := id
	for n := 2; used[session.Named{Fleet: f, ID: try}]; n++ {
		suffix := fmt.Sprintf("-%d", n)
		try = id[:min(len(id), longestID-len(suffix))] + suffix
		more, err := a.s.Sessions.UsedTx(a.tx, []string{try})
		if err != nil {
			return "", err
		}
		for k := range more {
			used[k] = true
		}
	}
	used[session.Named{Fleet: f, ID: try}] = true
	return try, nil
}

// note writes down in a claim's trace how it went. Claims that share a ranking and a choice
// share the text.
func (a *assigning) note(c *claim) error {
	class := ""
	if c.class != "" {
		class = fmt.Sprint(c.chosen, c.class)
		if text := a.texts[class]; text != nil {
			c.trace.pass(text)
			return nil
		}
	}
	p, err := passOf(a.stock.offer, c.ranking, stamp(c.startedAt), a.tx.Now, c.chosen, func(k candidate) (string, error) { return a.whyNot(c, k) })
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if class != "" {
		a.texts[class] = text
	}
	c.trace.pass(text)
	return nil
}

// whyNot is why a candidate was passed over.
func (a *assigning) whyNot(c *claim, k candidate) (string, error) {
	if a.shut[k.location] {
		return "placements that waited longer come first", nil
	}
	if slices.Contains(c.trace.Tried, k.at()) && a.left[k.at()] > 0 {
		return "it was tried already", nil
	}
	if a.left[k.at()] > 0 {
		return "a process became free too late", nil
	}
	if why, ok := a.why[k.at()]; ok {
		return why, nil
	}
	why, err := a.s.Computes.WhyNoneTx(a.tx, a.stock.fleets[k.fleet], arn.Location(k.location))
	if err != nil {
		return "", err
	}
	a.why[k.at()] = why
	return why, nil
}
