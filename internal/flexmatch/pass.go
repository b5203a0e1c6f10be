package flexmatch

import (
	"math"
	"slices"
	"time"
)

// passSmall makes matches of up to 40 players, backfill tickets in their turn, first or
// last (backfillPriority).
func (p *Pool) passSmall(now time.Time) []Match {
	var order, backfills []int32
	for _, row := range p.order {
		switch {
		case p.cols.broken[row] != "":
		case p.cols.session[row] && p.rs.Algorithm.BackfillPriority != "normal":
			backfills = append(backfills, row)
		default:
			order = append(order, row)
		}
	}
	if len(backfills) == 0 {
		return p.sweep(order, len(order), now)
	}
	if p.rs.Algorithm.BackfillPriority == "high" {
		rows := slices.Concat(backfills, order)
		return p.sweep(rows, len(rows), now)
	}
	// Backfill tickets are not looked at until all others have been evaluated; to them who
	// was new then is new still.
	before := slices.Clone(p.tried)
	made := p.sweep(order, len(order), now)
	resume := p.resume
	taken := map[*Ticket]bool{}
	for _, m := range made {
		for _, t := range m.Tickets {
			taken[t] = true
		}
	}
	order = slices.DeleteFunc(order, func(row int32) bool { return taken[p.cols.tickets[row]] })
	tried := p.tried
	p.tried = before
	made = append(made, p.sweep(slices.Concat(backfills, order), len(backfills), now)...)
	for _, row := range order {
		p.tried[row] = tried[row]
	}
	if p.resume == nil {
		p.resume = resume
	}
	return made
}

// sweep matches the rows, in batch order, around each of the first anchors of them.
func (p *Pool) sweep(rows []int32, anchors int, now time.Time) []Match {
	if len(rows) == 0 {
		return nil
	}
	s := p.searcher(rows, nil, now)
	var made []Match
	first := p.resumeAt(rows[:anchors])
	hope, scouted := s.scout()
	for i := range anchors {
		rank := int32((first + i) % anchors)
		if !s.alive[rank] || s.stale(rank) || (scouted && len(hope) == 0 && !s.x.fresh[rank]) {
			continue
		}
		if s.wasted > s.patient && !s.small() {
			p.resume = p.cols.tickets[rows[rank]]
			break
		}
		if s.anchor(rank) {
			s.balance()
			made = append(made, s.match())
			for _, r := range s.best.ranks {
				s.take(r)
			}
			if scouted {
				hope = slices.DeleteFunc(hope, func(r int32) bool { return !s.alive[r] })
			}
		} else {
			s.failed(rank)
		}
	}
	return made
}

// failed notes that a ticket was an anchor in vain.
func (s *search) failed(rank int32) {
	if !s.unsure || !s.small() || s.spent <= poolTries {
		s.p.tried[s.x.rows[rank]] = s.x.level[rank] + 1
	}
}

// scout looks for any match around each fresh ticket of a small pool. Whom it finds none
// for is done with; who is not fresh can only match with those that remain, which it
// returns. Where it would spare nothing it does not look.
func (s *search) scout() (hope []int32, scouted bool) {
	if !s.small() || !slices.Contains(s.x.fresh, false) {
		return nil, false
	}
	s.anyMatch = true
	for rank, fresh := range s.x.fresh {
		if !fresh {
			continue
		}
		if s.anchor(int32(rank)) || s.unsure {
			hope = append(hope, int32(rank))
		} else {
			s.failed(int32(rank))
		}
	}
	s.anyMatch = false
	return hope, true
}

// resumeAt is where the last pass ran out of patience: this one goes on from there.
func (p *Pool) resumeAt(anchors []int32) int {
	t := p.resume
	p.resume = nil
	if t == nil {
		return 0
	}
	return max(0, slices.IndexFunc(anchors, func(row int32) bool { return p.cols.tickets[row] == t }))
}

// stale says that the anchor was tried before in vain, and nobody who could join it is
// new or has reached another level since.
func (s *search) stale(rank int32) bool {
	if s.x.fresh[rank] || s.x.part[rank] < 0 || len(s.x.parts[s.x.part[rank]]) > 256 {
		return false
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if col := s.p.prog.shape.window; col >= 0 {
		d := 0.0
		for _, lv := range s.p.prog.levels {
			d = max(d, lv.distance(col))
		}
		lo, hi = s.x.value[rank]-d, s.x.value[rank]+d
	}
	for _, id := range s.x.parts[s.x.part[rank]] {
		g := s.x.groups[id]
		if from, to := g.within(lo, hi); g.fresh[to] > g.fresh[from] {
			return false
		}
	}
	return true
}

// focus is a part of the pool that is searched in place of the whole.
type focus struct {
	rows    []int32
	size    int   // tickets in the whole
	present []int // and how many of them at each level
	reach   places
}

// searcher prepares a search of the rows, or of those in focus.
func (p *Pool) searcher(rows []int32, f *focus, now time.Time) *search {
	if p.search == nil {
		p.search = &search{p: p, r: newRoster(p.cols, len(p.rs.teams)), tally: make([]counts, len(p.rs.Rules)), closest: -1, most: fullTries}
		p.search.assign.alt = newRoster(p.cols, len(p.rs.teams))
	}
	s := p.search
	s.size, s.index.reach = len(rows), everywhere
	if f != nil {
		s.size, s.index.reach = f.size, f.reach
	}
	p.build(&s.index, rows, now)
	if f != nil {
		s.index.present = f.present
	}
	s.x = &s.index
	s.bring, s.supply = s.x.bring, s.x.supply
	s.alive = zeroed(s.alive, len(rows))
	for i := range s.alive {
		s.alive[i] = true
	}
	s.spent = 0
	effort := p.opts.Effort
	if effort <= 0 {
		effort = 1
	}
	s.allowance = int(effort * float64(20_000+4*s.size))
	s.wasted, s.patient = 0, int(effort*float64(200_000+8*s.size))
	return s
}
