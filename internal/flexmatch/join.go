package flexmatch

import "slices"

// join puts a ticket into the roster if some assignment of teams leaves the candidate
// alive.
func (s *search) join(rank int32) bool {
	row := s.x.rows[rank]
	if !s.open(row) {
		return false
	}
	s.chosen = append(s.chosen, rank)
	if s.p.cols.session[row] {
		if s.joinBackfill(row) {
			return true
		}
	} else if s.place(s.p.cols.uFirst[row]) {
		return true
	}
	s.chosen = s.chosen[:len(s.chosen)-1]
	return false
}

// open says there are slots for a ticket, it is not a second session, and none of its
// players is in the match already.
func (s *search) open(row int32) bool {
	c := s.p.cols
	return s.r.total+int(c.players[row]) <= s.lv.cap && (!s.backfill || !c.session[row]) &&
		(s.p.twice == 0 || !s.meets(c.tickets[row]))
}

// leave takes the last ticket out again. Teams that were rearranged for it stay so: what
// was alive with it is alive without.
func (s *search) leave(rank int32) {
	row := s.x.rows[rank]
	from, to := s.p.cols.units(row)
	s.r.pop(int(to - from))
	if s.p.cols.session[row] {
		s.backfill, s.fixed = false, 0
	}
	s.chosen = s.chosen[:len(s.chosen)-1]
}

// meets says a player of the ticket is in the match already.
func (s *search) meets(t *Ticket) bool {
	for _, rank := range s.chosen {
		for _, a := range s.p.cols.tickets[s.x.rows[rank]].Players {
			for _, b := range t.Players {
				if playerID(a) == playerID(b) {
					return true
				}
			}
		}
	}
	return false
}

// joinBackfill puts a running session's players where they already play.
func (s *search) joinBackfill(row int32) bool {
	from, to := s.p.cols.units(row)
	before := len(s.r.units)
	for u := from; u < to; u++ {
		s.r.push(u, s.p.cols.fixed[row][u-from])
	}
	s.backfill, s.fixed = true, int(to-from)
	fits := true
	for t, n := range s.r.size {
		fits = fits && n <= s.lv.max[t]
	}
	if fits && s.lives(s.lv.anywhere) && s.lives(s.lv.byTeam) {
		return true
	}
	if before > 0 && s.lives(s.lv.anywhere) && s.rearrange() {
		return true
	}
	s.r.pop(int(to - from))
	s.backfill, s.fixed = false, 0
	return false
}

// place finds a team for a unit, rearranging the others if need be.
func (s *search) place(unit int32) bool {
	n := s.p.cols.uSize[unit]
	order := s.teamOrder(n)
	s.wantingFirst(unit, order)
	for i, t := range order {
		s.r.push(unit, t)
		if i == 0 && !s.lives(s.lv.anywhere) { // no team can change that
			s.r.pop(1)
			return false
		}
		if s.lives(s.lv.byTeam) {
			return true
		}
		s.r.pop(1)
	}
	if len(s.r.size) == 1 || len(s.r.units) == 0 {
		return false
	}
	if len(order) == 0 && !s.roomFor(n) {
		return false
	}
	if len(order) > 0 && !s.small() {
		return false // it fits, only a rule refuses: another ticket is the cheaper try
	}
	// Any team will do for the moment: rearrange puts every unit anew.
	s.r.push(unit, 0)
	if (len(order) > 0 || s.lives(s.lv.anywhere)) && s.rearrange() {
		return true
	}
	s.r.pop(1)
	return false
}

// roomFor says some team is large enough for n players at all.
func (s *search) roomFor(n int32) bool {
	return slices.ContainsFunc(s.lv.max, func(m int32) bool { return n <= m })
}

// teamOrder lists the teams with room for n more: those below their minimum first, then
// the one with most open slots, one of several alike and empty.
func (s *search) teamOrder(n int32) []uint8 {
	order := s.assign.order[:0]
	for t := range s.r.size {
		if s.r.size[t]+n > s.lv.max[t] || s.mirrored(s.r, t) {
			continue
		}
		i := len(order)
		order = append(order, uint8(t))
		for ; i > 0 && s.needier(t, int(order[i-1])); i-- {
			order[i] = order[i-1]
		}
		order[i] = uint8(t)
	}
	s.assign.order = order
	return order
}

// wantingFirst moves the teams to the front whose rules still want what the unit brings.
func (s *search) wantingFirst(unit int32, order []uint8) {
	front := 0
	for _, w := range s.lv.teamWants {
		if !slices.Contains(s.p.cols.lists[w.col][unit], w.sym) {
			continue
		}
		for i := front; i < len(order); i++ {
			if t := order[i]; w.mask>>t&1 == 1 && s.has(t, w) < w.min {
				copy(order[front+1:i+1], order[front:i])
				order[front] = t
				front++
			}
		}
	}
}

// has is how many lists of a team hold the wanted string.
func (s *search) has(team uint8, w want) (n int) {
	for i, u := range s.r.units {
		if s.r.team[i] == team && slices.Contains(s.p.cols.lists[w.col][u], w.sym) {
			n++
		}
	}
	return n
}

// needier says team t should be filled before another: the one below its minimum first,
// then the one with more open slots.
func (s *search) needier(t, than int) bool {
	low, other := s.r.size[t] < s.lv.min[t], s.r.size[than] < s.lv.min[than]
	if low != other {
		return low
	}
	return s.lv.max[t]-s.r.size[t] > s.lv.max[than]-s.r.size[than]
}

// lives says none of the rules has given the candidate up.
func (s *search) lives(rules []int) bool {
	for _, i := range rules {
		if s.inPlace && i == s.lv.placeRule {
			continue // all candidates can play in the place searched
		}
		dead := s.lv.rules[i].dead(s.r)
		s.count(i, !dead)
		if dead {
			return false
		}
	}
	return true
}
