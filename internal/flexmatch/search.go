package flexmatch

import (
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// search builds matches of up to 40 players around one anchor at a time.
//
// For an anchor it tries every expansion level a candidate with it can be at: with the
// level fixed, the rules are fixed and the tickets that may join are those at that level
// or beyond. Candidates come from the index by age, or sorted by the rule set's sort
// rules. First a descent takes every ticket that fits and backs out of dead ends for a
// while; when that is not enough, an exact search over the nearest candidates looks
// ahead at what is left for each choice. Both visit sets in the order of the batch, most
// inclusive first, so the first full match is the one to take.
type search struct {
	p  *Pool
	x  *index // of the pass
	r  *roster
	lv *compiledLevel

	level    int
	index    index  // its memory, for the next pass too
	size     int    // tickets in the pool
	alive    []bool // by rank
	levels   []int
	keys     []keyed
	sortKeys []float64 // of the candidates, a row each
	spare    []int32
	around   []int     // locations of the anchor
	weights  []float64 // and how good they are
	stream   stream
	ranks    []int32 // candidates so far, in order
	drained  bool    // ranks holds all there are
	suffix   []int32 // players from each candidate on, once drained

	chosen   []int32 // ranks in the match, the anchor first
	fixed    int     // units of a backfill ticket in the roster
	backfill bool

	tries, limit int
	most         int  // tries of one anchor at one level, in a small pool
	closest      int  // order candidates by this number only, -1 for the rule set's order
	inPlace      bool // the candidates are those of one location
	flops        int  // full but illegal rosters that may still come
	patience     int  // tickets that may be refused in a row of tries
	cut          bool // the limit stopped the search
	unsure       bool // something was left untried, so a failure is not final
	anyMatch     bool // the first legal match will do

	assign assigner
	poise  balancer
	best   found
	bound  []int32 // the match to beat: only sets before it are of interest
	tally  []counts

	spent, allowance int       // tries of failed anchors in this pass
	work             int       // of the anchor: tries, candidates looked at, stretches opened
	wasted, patient  int       // work of failed anchors, and how much of it a pass can bear
	supply           [][]int32 // of each wanted string, by part
	bring            [][]uint8 // and by rank
}

// found is a legal match.
type found struct {
	ok       bool
	players  int
	level    int // the level it has by its tickets
	searched int // and the one it was found at
	ranks    []int32
	units    []int32
	teams    []uint8
}

// Effort bounds. Pools up to smallPool are searched completely, for all practical
// purposes; in larger ones an anchor that is hard to match must not stop the pass.
const (
	smallPool  = 64
	fullTries  = 50_000    // of one anchor at one level in a small pool
	poolTries  = 1_000_000 // of all anchors of a small pool together, then
	spareTries = 1_000     // each gets so many
	exactTries = 300       // of the search with foresight in a larger one
)

func (s *search) small() bool { return s.size <= smallPool }

// take removes a ticket from the pass.
func (s *search) take(rank int32) {
	s.alive[rank] = false
	s.unstock(rank)
	s.x.remove(rank, s.p.cols.players[s.x.rows[rank]])
}

// anchor looks for the best match around a ticket and leaves it in s.best. In a small
// pool every level is searched for the match that comes first in the batch; in a larger
// one the first full match will do.
func (s *search) anchor(rank int32) bool {
	clear(s.tally)
	s.best.ok, s.best.players, s.bound, s.unsure, s.tries, s.work = false, 0, nil, false, 0, 0
	for _, level := range s.levelsFor(rank) {
		if s.at(rank, level); s.best.ok && (s.anyMatch || s.best.players == s.lv.cap && !s.small()) {
			break
		}
	}
	if !s.best.ok {
		s.spent += s.tries
		s.wasted += s.work + s.tries
	}
	row := s.x.rows[rank]
	n := len(s.tally)
	for i, c := range s.tally {
		s.p.tally[int(row)*n+i].passed += c.passed
		s.p.tally[int(row)*n+i].failed += c.failed
	}
	if !s.best.ok && !s.unsure {
		s.take(rank) // whatever is left cannot match it: spare the others the try
	}
	return s.best.ok
}

// levelsFor are the levels a candidate with this ticket can be at: its own first.
func (s *search) levelsFor(rank int32) []int {
	own := int(s.x.level[rank])
	levels := append(s.levels[:0], own)
	if s.p.prog.newest {
		for l := own - 1; l >= 0; l-- {
			if s.x.present[l] > 0 {
				levels = append(levels, l)
			}
		}
	} else {
		for l := own + 1; l < len(s.x.present); l++ {
			if s.x.present[l] > 0 {
				levels = append(levels, l)
			}
		}
	}
	s.levels = levels
	if few := 8; len(levels) > few && !s.small() {
		for i := range few { // the first and the last are among them
			levels[i] = levels[i*(len(levels)-1)/(few-1)]
		}
		s.unsure = true
		return levels[:few]
	}
	return levels
}

// at searches around the anchor with the rules of one level.
func (s *search) at(rank int32, level int) {
	s.level, s.lv = level, s.p.prog.levels[level]
	s.work += 16
	s.begin()
	if s.x.part[rank] < 0 || !s.join(rank) || !s.supplied(rank) {
		return
	}
	if s.small() {
		s.thoroughly(rank)
	} else {
		s.briefly(rank)
	}
	if s.best.ok && len(s.lv.sorts) == 0 && s.best.players == s.lv.cap {
		s.bound = s.best.ranks
	}
}

// thoroughly searches a small pool to the end, for all practical purposes.
func (s *search) thoroughly(rank int32) {
	if !s.candidates(rank, anyPlace) {
		return
	}
	most := s.most
	if s.spent > poolTries {
		most = spareTries
	}
	s.limit, s.flops, s.patience, s.cut = s.tries+most, fullTries, fullTries, false
	for !s.drained {
		s.candidate(len(s.ranks))
	}
	s.ranks = append(s.ranks[:0], s.joinable(s.ranks)...) // who never can is not tried again and again
	s.drain()
	if !s.descend(0) && s.cut {
		s.exactly()
	}
	s.unsure = s.unsure || s.cut
}

// triedPlaces is how many locations are tried for an anchor in a larger pool.
const triedPlaces = 3

// briefly searches a larger pool, in one location after the other.
func (s *search) briefly(rank int32) {
	lo, hi, _ := s.windowOf(rank)
	for i, at := range s.placesFor(rank, lo, hi) {
		if i == triedPlaces {
			s.unsure = true
			break
		}
		if s.candidates(rank, at) && s.brieflyIn(rank, at) {
			break
		}
	}
}

// brieflyIn searches by age for a moment, then among the nearest of the oldest, then,
// while the pass has time left, with foresight. It reports whether a full match was
// found.
func (s *search) brieflyIn(rank int32, place int) bool {
	if s.spent > s.allowance && s.tries > 4*s.lv.cap {
		s.unsure = true
		return false
	}
	// By age, what the rules want comes too late, and a pool that is to be sorted into
	// batches (batchingPreference) is not sorted by age.
	if len(s.lv.sorts) > 0 || (len(s.lv.wants) == 0 && len(s.p.prog.sorted) == 0) {
		s.cut, s.flops, s.limit, s.patience = false, 2, s.tries+16+4*s.lv.cap, fullTries
		if s.spent > s.allowance {
			s.limit = s.tries + 8 + s.lv.cap
		}
		if s.descend(0) {
			return true
		}
		if !s.cut {
			return false
		}
		if s.spent > s.allowance {
			s.unsure = true // there may be a match further on
			return false
		}
	}
	s.unsure = true
	if !s.nearest(rank, place) {
		s.tries += len(s.ranks) / 4 // looking costs as well
		return false
	}
	s.limit, s.flops, s.patience, s.cut = s.tries+16+4*s.lv.cap, 4, 16, false
	if s.descend(0) {
		return true
	}
	return s.cut && s.spent <= s.allowance && s.tries < 40*s.lv.cap && s.exactly()
}

// begin empties the roster for the current level.
func (s *search) begin() {
	s.r.clear()
	s.r.max, s.r.cap = s.lv.max, s.lv.cap
	s.chosen, s.fixed, s.backfill, s.inPlace = s.chosen[:0], 0, false, false
}

func (s *search) count(rule int, passed bool) {
	switch {
	case rule < 0:
	case passed:
		s.tally[rule].passed++
	default:
		s.tally[rule].failed++
	}
}

// descend tries the candidates from pos on, each with everything after it. It reports
// whether a full match was found.
func (s *search) descend(pos int) bool {
	if s.r.total == s.lv.cap {
		return s.accept() || s.flopped()
	}
	depth := len(s.chosen) - 1
	var tried [4]int32
	reps, refused := 0, 0
	for i := pos; ; i++ {
		rank, ok := s.candidate(i)
		if !ok || s.hopeless(i) || s.beyond(depth, rank) {
			break
		}
		if s.tries >= s.limit {
			s.cut = true
			break
		}
		if s.r.total+int(s.players(rank)) > s.lv.cap || s.seen(tried[:reps], rank) {
			continue
		}
		s.tries++
		if !s.join(rank) {
			if refused++; refused > s.patience {
				s.cut = true
				break
			}
			continue
		}
		if s.descend(i + 1) {
			return true
		}
		s.leave(rank)
		if s.cut {
			break
		}
		if reps < len(tried) {
			tried[reps] = rank
			reps++
		}
	}
	return s.accept()
}

// flopped counts full rosters that were not legal after all, and stops the search when
// the order it tries them in leads nowhere.
func (s *search) flopped() bool {
	if s.flops--; s.flops < 0 {
		s.cut = true
	}
	return false
}

// hopeless says that what is left from candidate i on cannot beat the best match, or
// cannot fill the smallest one.
func (s *search) hopeless(i int) bool {
	if !s.drained {
		return false
	}
	left := s.r.total + int(s.suffix[i])
	return left < s.lv.need || s.outdone(left)
}

// outdone says so many players cannot make a better match. At another level than the best
// match's, one of the same size may still come before it.
func (s *search) outdone(players int) bool {
	if !s.best.ok || s.bound != nil {
		return false
	}
	return players < s.best.players || (players == s.best.players && s.best.searched == s.level)
}

// beyond says that a set with this ticket next comes after the match to beat.
func (s *search) beyond(depth int, rank int32) bool {
	if s.bound == nil || depth+1 >= len(s.bound) {
		return false
	}
	for i, r := range s.chosen[1:] {
		if r < s.bound[i+1] {
			return false
		}
	}
	return rank > s.bound[depth+1]
}

// seen says a ticket just like this one has been tried here in vain.
func (s *search) seen(tried []int32, rank int32) bool {
	return s.p.prog.same && s.p.twice == 0 && slices.ContainsFunc(tried, func(t int32) bool { return s.alike(t, rank) })
}

// alike says no rule can tell two tickets apart.
func (s *search) alike(a, b int32) bool {
	if s.x.level[a] != s.x.level[b] || s.players(a) != s.players(b) {
		return false
	}
	c, x, y := s.p.cols, s.x.rows[a], s.x.rows[b]
	if c.session[x] || c.session[y] {
		return false
	}
	u, v := c.uFirst[x], c.uFirst[y]
	for _, col := range c.num {
		if col[u] != col[v] {
			return false
		}
	}
	for _, col := range c.reach {
		if col[u] != col[v] {
			return false
		}
	}
	for _, col := range c.lists {
		if !slices.Equal(col[u], col[v]) {
			return false
		}
	}
	for i, attr := range s.p.rs.Attributes {
		for j := range c.uSize[u] {
			p, q := c.uPlayer[u]+j, c.uPlayer[v]+j
			if attr.Type == String && c.pStr[i][p] != c.pStr[i][q] {
				return false
			}
			if attr.Type == StringList && !slices.Equal(c.pList[i][p], c.pList[i][q]) {
				return false
			}
		}
	}
	return true
}

// accept keeps the roster if it is a legal match and better than the best so far. It
// reports whether that is the match to take.
func (s *search) accept() bool {
	if s.r.total < s.lv.need || (s.best.ok && s.r.total < s.best.players) {
		return false
	}
	if s.best.ok && s.r.total == s.best.players && !s.before(s.chosen, s.best.ranks) {
		return false
	}
	level, ok := s.legal()
	if !ok {
		return false
	}
	s.best.ok, s.best.players, s.best.level, s.best.searched = true, s.r.total, level, s.level
	s.best.ranks = append(s.best.ranks[:0], s.chosen...)
	s.best.units = append(s.best.units[:0], s.r.units...)
	s.best.teams = append(s.best.teams[:0], s.r.team...)
	return s.r.total == s.lv.cap || s.anyMatch
}

// before orders sets of one size by the batch; sort rules have ordered them already.
func (s *search) before(a, b []int32) bool {
	return len(s.lv.sorts) == 0 && slices.Compare(a, b) < 0
}

// legal checks everything a match must satisfy, at the level its own tickets give it,
// and may settle on other teams for it.
func (s *search) legal() (level int, ok bool) {
	if s.backfill && len(s.chosen) == 1 {
		return 0, false // never alone (spec 2.10)
	}
	level = int(s.x.level[s.chosen[0]])
	for _, rank := range s.chosen[1:] {
		if l := int(s.x.level[rank]); (l < level) == s.p.prog.newest {
			level = l
		}
	}
	searched := s.lv
	if level != s.level {
		s.lv = s.p.prog.levels[level]
		s.r.max, s.r.cap = s.lv.max, s.lv.cap
		defer func() { s.lv = searched; s.r.max, s.r.cap = searched.max, searched.cap }()
	}
	if s.r.total > s.lv.cap || s.r.total < s.lv.need {
		return 0, false
	}
	for _, i := range s.lv.enforced {
		if s.lv.teamless[i] && !s.holds(i, s.r) {
			return 0, false
		}
		if could := s.lv.rules[i].could; could != nil && !could(s.r) {
			s.count(i, false)
			return 0, false
		}
	}
	return level, s.settle()
}

// holds checks one rule of a complete roster.
func (s *search) holds(rule int, r *roster) bool {
	ok := s.lv.rules[rule].check(r)
	s.count(rule, ok)
	return ok
}

// match makes the result out of the best.
func (s *search) match() Match {
	b := &s.best
	m := Match{
		Tickets: make([]*Ticket, len(b.ranks)), Teams: make([]MatchTeam, len(s.p.rs.teams)),
		Metrics: metrics(s.p.rs, s.tally), limit: math.Inf(1),
	}
	for i, rank := range b.ranks {
		m.Tickets[i] = s.p.cols.tickets[s.x.rows[rank]]
	}
	room := make([]types.Player, b.players) // of all teams, one after the other
	for t := range m.Teams {
		n := 0
		for i, u := range b.units {
			if int(b.teams[i]) == t {
				n += int(s.p.cols.uSize[u])
			}
		}
		m.Teams[t] = MatchTeam{Name: s.p.rs.teams[t].name, Players: room[:0:n]}
		if n == 0 {
			m.Teams[t].Players = nil
		}
		room = room[n:]
	}
	for i, u := range b.units {
		t := s.p.cols.tickets[s.p.cols.uTicket[u]]
		team := &m.Teams[b.teams[i]]
		if !t.Backfill {
			team.Players = append(team.Players, t.Players...)
			continue
		}
		n := u - s.p.cols.uFirst[s.p.cols.uTicket[u]]
		team.Players = append(team.Players, t.Players[n])
	}
	for _, spec := range s.p.rs.levels[b.level].rules {
		if r, ok := spec.(*latency); ok {
			m.limit = min(m.limit, r.max)
		}
	}
	return m
}
