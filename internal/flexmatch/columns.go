package flexmatch

import (
	"cmp"
	"math"
	"slices"
)

// symbols gives every string of a pool a small number.
type symbols struct {
	numbers map[string]int32
	names   []string
}

func (s *symbols) of(text string) int32 {
	if n, ok := s.numbers[text]; ok {
		return n
	}
	n := int32(len(s.names))
	s.numbers[text] = n
	s.names = append(s.names, text)
	return n
}

func (s *symbols) name(n int32) string { return s.names[n] }

// maxPlaces is how many locations a pool tells apart; a location reported after that
// many others counts as not reported. AWS has some thirty.
const maxPlaces = 256

// places is a set of locations.
type places [maxPlaces / 64]uint64

var everywhere = places{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}

func (s *places) add(at int)     { s[at/64] |= 1 << (at % 64) }
func (s places) has(at int) bool { return s[at/64]>>(at%64)&1 == 1 }
func (s places) empty() bool     { return s[0]|s[1]|s[2]|s[3] == 0 }
func (s places) or(o places) places {
	return places{s[0] | o[0], s[1] | o[1], s[2] | o[2], s[3] | o[3]}
}

func (s places) and(o places) places {
	return places{s[0] & o[0], s[1] & o[1], s[2] & o[2], s[3] & o[3]}
}

// ping is one player's latency in one location.
type ping struct {
	at int32
	ms int32
}

// columns hold what the rules read of every ticket, laid out by row: tickets, units
// (see roster) and players each have their own index.
type columns struct {
	prog   *program
	sym    *symbols
	places []string
	placeN map[string]int

	tickets []*Ticket
	uFirst  []int32 // first unit of each ticket, and one past the last
	players []int32 // players of each ticket
	session []bool  // it is a backfill ticket
	tFirst  []int32 // and its first player
	start   []int64 // when each ticket was made, ms
	broken  []string
	fixed   [][]uint8 // team of each unit of a backfill ticket

	uSize   []int32
	uPlayer []int32 // first player of each unit
	uTicket []int32

	num   [][]float64 // by number column and unit
	lists [][][]int32 // by list column and unit, sorted
	reach [][]places  // by latency column and unit

	pID   []int32
	pStr  [][]int32              // by attribute and player
	pList [][][]int32            // by attribute and player, in the player's order
	pMap  [][]map[string]float64 // by attribute and player
	pPing [][]ping
	pN    int32
}

func newColumns(prog *program) *columns {
	n := len(prog.rs.Attributes)
	return &columns{
		prog: prog, sym: prog.sym, placeN: map[string]int{},
		uFirst: []int32{0},
		num:    make([][]float64, len(prog.numbers)),
		lists:  make([][][]int32, len(prog.lists)),
		reach:  make([][]places, len(prog.latencies)),
		pStr:   make([][]int32, n), pList: make([][][]int32, n), pMap: make([][]map[string]float64, n),
	}
}

// add appends a ticket's row. A ticket that can never match is broken: it has a row,
// but the search leaves it out (spec 1.2).
func (p *columns) add(t *Ticket) int32 {
	row := int32(len(p.tickets))
	p.tickets = append(p.tickets, t)
	p.players = append(p.players, int32(len(t.Players)))
	p.session = append(p.session, t.Backfill)
	p.start = append(p.start, t.Start.UnixMilli())
	first := p.pN
	p.tFirst = append(p.tFirst, first)
	broken := p.addPlayers(t)
	fixed, wrong := p.fixedTeams(t)
	if broken == "" {
		broken = wrong
	}
	switch {
	case len(t.Players) == 0:
		broken = "the ticket has no players"
	case t.Backfill:
		for i := range t.Players {
			p.addUnit(row, first+int32(i), 1, broken != "")
		}
	default:
		p.addUnit(row, first, int32(len(t.Players)), broken != "")
	}
	p.broken = append(p.broken, broken)
	p.fixed = append(p.fixed, fixed)
	p.uFirst = append(p.uFirst, int32(len(p.uSize)))
	return row
}

// fixedTeams finds the teams a backfill ticket's players already play in.
func (p *columns) fixedTeams(t *Ticket) (teams []uint8, wrong string) {
	if !t.Backfill {
		return nil, ""
	}
	for _, pl := range t.Players {
		name := ""
		if pl.Team != nil {
			name = *pl.Team
		}
		i := slices.IndexFunc(p.prog.rs.teams, func(t team) bool { return t.name == name })
		if i < 0 {
			return make([]uint8, len(t.Players)), "a backfill player is in the team \"" + name + "\", which the rule set does not have"
		}
		teams = append(teams, uint8(i))
	}
	return teams, ""
}

func (p *columns) addPlayers(t *Ticket) (broken string) {
	for _, pl := range t.Players {
		p.pN++
		if p.prog.usesIDs {
			p.pID = append(p.pID, p.sym.of(playerID(pl)))
		}
		for i, a := range p.prog.rs.Attributes {
			v := a.Value(pl)
			if v == nil && broken == "" {
				broken = "a player has no value for the attribute \"" + a.Name + "\", which has no default"
			}
			p.addValue(i, a.Type, v)
		}
		if len(p.prog.latencies) > 0 {
			p.pPing = append(p.pPing, p.pings(pl.LatencyInMs))
		}
	}
	return broken
}

func (p *columns) addValue(attr int, t AttributeType, v any) {
	switch t {
	case String:
		text, _ := v.(string)
		p.pStr[attr] = append(p.pStr[attr], p.sym.of(text))
	case StringList:
		texts, _ := v.([]string)
		set := make([]int32, 0, len(texts))
		for _, text := range texts {
			if s := p.sym.of(text); !slices.Contains(set, s) {
				set = append(set, s)
			}
		}
		p.pList[attr] = append(p.pList[attr], set)
	case StringNumberMap:
		m, _ := v.(map[string]float64)
		p.pMap[attr] = append(p.pMap[attr], m)
	case Number: // numbers are kept by unit only
	}
}

func (p *columns) pings(latency map[string]int32) []ping {
	if len(latency) == 0 {
		return nil
	}
	var strange []string
	for name := range latency {
		if _, ok := p.placeN[name]; !ok {
			strange = append(strange, name)
		}
	}
	slices.Sort(strange) // a map's order must not number them
	for _, name := range strange[:min(len(strange), maxPlaces-len(p.places))] {
		p.placeN[name], p.places = len(p.places), append(p.places, name)
	}
	pings := make([]ping, 0, len(latency))
	for name, ms := range latency {
		if at, ok := p.placeN[name]; ok {
			pings = append(pings, ping{at: int32(at), ms: ms})
		}
	}
	slices.SortFunc(pings, func(a, b ping) int { return cmp.Compare(a.at, b.at) })
	return pings
}

// addUnit appends the unit of n players from the player row first on.
func (p *columns) addUnit(ticket, first, n int32, broken bool) {
	p.uTicket = append(p.uTicket, ticket)
	p.uSize = append(p.uSize, n)
	p.uPlayer = append(p.uPlayer, first)
	offset := 0
	if t := p.tickets[ticket]; t.Backfill {
		offset = int(first - p.uPlayer[p.uFirst[ticket]])
	}
	players := p.tickets[ticket].Players[offset : offset+int(n)]
	for i, col := range p.prog.numbers {
		v := 0.0
		if !broken {
			v = aggregate(len(players), col.how, func(j int) float64 {
				n, _ := p.prog.rs.Attributes[col.attr].Value(players[j]).(float64)
				return n
			})
		}
		p.num[i] = append(p.num[i], v)
	}
	for i, col := range p.prog.lists {
		p.lists[i] = append(p.lists[i], p.unitList(col, first, n))
	}
	for i, col := range p.prog.latencies {
		p.reach[i] = append(p.reach[i], p.unitReach(col, first, n))
	}
}

func aggregate(n int, how aggregation, of func(int) float64) float64 {
	total, lo, hi := 0.0, math.Inf(1), math.Inf(-1)
	for i := range n {
		v := of(i)
		total, lo, hi = total+v, min(lo, v), max(hi, v)
	}
	switch {
	case n == 0:
		return 0
	case how == minimum:
		return lo
	case how == maximum:
		return hi
	}
	return total / float64(n)
}

// unitList is the union or the intersection of the players' lists, sorted.
func (p *columns) unitList(col column, first, n int32) []int32 {
	lists := p.pList[col.attr][first : first+n]
	set := slices.Clone(lists[0])
	for _, l := range lists[1:] {
		if col.how == union {
			set = append(set, l...)
		} else {
			set = slices.DeleteFunc(set, func(s int32) bool { return !slices.Contains(l, s) })
		}
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// unitReach are the locations that every player reported and whose aggregate is within
// the limit.
func (p *columns) unitReach(col latencyColumn, first, n int32) (set places) {
	for _, pg := range p.pPing[first] {
		if v, ok := p.aggregatePing(first, n, int(pg.at), col.how); ok && v <= col.max {
			set.add(int(pg.at))
		}
	}
	return set
}

func (p *columns) aggregatePing(first, n int32, at int, how aggregation) (float64, bool) {
	ok := true
	v := aggregate(int(n), how, func(i int) float64 {
		pings := p.pPing[first+int32(i)]
		j, found := slices.BinarySearchFunc(pings, int32(at), func(pg ping, at int32) int { return cmp.Compare(pg.at, at) })
		if !found {
			ok = false
			return 0
		}
		return float64(pings[j].ms)
	})
	return v, ok
}

// latency is a unit's latency in a location; ok is false when a player lacks it.
func (p *columns) latency(unit int32, at int, how aggregation) (ms float64, ok bool) {
	return p.aggregatePing(p.uPlayer[unit], p.uSize[unit], at, how)
}

// keep copies the rows that are alive to new columns and says where each has gone.
func (p *columns) keep(live []bool) (out *columns, moved []int32) {
	out = newColumns(p.prog)
	out.places, out.placeN = p.places, p.placeN
	moved = make([]int32, len(p.tickets))
	for row, t := range p.tickets {
		if !live[row] {
			continue
		}
		moved[row] = int32(len(out.tickets))
		first, n := p.tFirst[row], p.players[row]
		shift := out.pN - first
		from, to := p.units(int32(row))
		out.tickets, out.players, out.session = append(out.tickets, t), append(out.players, n), append(out.session, t.Backfill)
		out.tFirst, out.start = append(out.tFirst, out.pN), append(out.start, p.start[row])
		out.broken, out.fixed = append(out.broken, p.broken[row]), append(out.fixed, p.fixed[row])
		for u := from; u < to; u++ {
			out.uSize, out.uTicket = append(out.uSize, p.uSize[u]), append(out.uTicket, moved[row])
			out.uPlayer = append(out.uPlayer, p.uPlayer[u]+shift)
		}
		copyRange(out.num, p.num, from, to)
		copyRange(out.lists, p.lists, from, to)
		copyRange(out.reach, p.reach, from, to)
		copyRange(out.pStr, p.pStr, first, first+n)
		copyRange(out.pList, p.pList, first, first+n)
		copyRange(out.pMap, p.pMap, first, first+n)
		if len(p.pID) > 0 {
			out.pID = append(out.pID, p.pID[first:first+n]...)
		}
		if len(p.pPing) > 0 {
			out.pPing = append(out.pPing, p.pPing[first:first+n]...)
		}
		out.pN += n
		out.uFirst = append(out.uFirst, int32(len(out.uSize)))
	}
	return out, moved
}

// copyRange appends a range of every column that has rows.
func copyRange[T any](to, from [][]T, first, last int32) {
	for i, col := range from {
		if len(col) > 0 {
			to[i] = append(to[i], col[first:last]...)
		}
	}
}

// units of a ticket.
func (p *columns) units(ticket int32) (from, to int32) {
	return p.uFirst[ticket], p.uFirst[ticket+1]
}

func (p *columns) firstPlayer(ticket int32) int32 { return p.uPlayer[p.uFirst[ticket]] }

// ticketNumber is one number for a whole ticket; a backfill ticket's players are taken
// together for sorting only.
func (p *columns) ticketNumber(col int, ticket int32, how aggregation) float64 {
	from, to := p.units(ticket)
	if to-from == 1 {
		return p.num[col][from]
	}
	return aggregate(int(to-from), how, func(i int) float64 { return p.num[col][from+int32(i)] })
}

// ticketMapNumber is one number for a ticket out of a map; a missing key counts as 0.
func (p *columns) ticketMapNumber(attr int, key string, ticket int32, how aggregation) float64 {
	first := p.firstPlayer(ticket)
	return aggregate(int(p.players[ticket]), how, func(i int) float64 { return p.pMap[attr][first+int32(i)][key] })
}

// extremeKey is the key with the highest or lowest value in a ticket's map; of several,
// the first in the alphabet.
func (p *columns) extremeKey(attr int, ticket int32, highest bool, how aggregation) (key string, ok bool) {
	best := 0.0
	first := p.firstPlayer(ticket)
	for i := range p.players[ticket] {
		for k := range p.pMap[attr][first+i] {
			v := p.ticketMapNumber(attr, k, ticket, how)
			if !highest {
				v = -v
			}
			if !ok || v > best || (v == best && k < key) {
				key, best, ok = k, v, true
			}
		}
	}
	return key, ok
}
