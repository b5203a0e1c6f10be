package flexmatch

import (
	"cmp"
	"slices"
	"time"
)

// Pool is the tickets that wait for one matchmaking configuration, and the engine that
// matches them. It is not safe for concurrent use.
type Pool struct {
	rs   *RuleSet
	opts Options
	prog *program
	cols *columns

	rows    map[string]int32
	alive   []bool
	live    int
	order   []int32          // live rows by age, kept between passes
	added   []int32          // rows that are not in order yet
	byValue []int32          // live rows by the index's number, kept the same way
	holders map[string]int32 // a number for every player id
	holder  []int32          // by player row: that number
	held    []int32          // by number: live tickets with the player
	twice   int              // player ids in more than one live ticket
	tally   []counts         // by row and rule
	tried   []int16          // by row: the level it was last an anchor at, plus one
	resume  *Ticket          // the anchor at which the last pass ran out of patience
	settled bool             // every ticket left was tried in the last pass
	passed  time.Time        // when that was

	search *search
	probes map[string]*Pool // for Explain: the pool without some of the rules
}

// NewPool compiles a rule set for its tickets.
func NewPool(rs *RuleSet, opts Options) *Pool {
	p := &Pool{rs: rs, opts: opts}
	p.fresh()
	return p
}

// fresh starts over with empty columns.
func (p *Pool) fresh() {
	p.prog = compile(p.rs, p.opts)
	p.cols = newColumns(p.prog)
	p.rows, p.holders = map[string]int32{}, map[string]int32{}
	p.alive, p.order, p.added, p.byValue, p.tally, p.tried = nil, nil, nil, nil, nil, nil
	p.live, p.twice, p.holder, p.held = 0, 0, nil, nil
	p.search, p.probes, p.settled = nil, nil, false
}

// Add puts a ticket into the pool, in place of an earlier one of the same id.
func (p *Pool) Add(t *Ticket) {
	p.Remove(t.ID)
	row := p.cols.add(t)
	p.rows[t.ID] = row
	p.alive = append(p.alive, true)
	p.tried = append(p.tried, 0)
	p.added = append(p.added, row)
	p.tally = append(p.tally, make([]counts, len(p.rs.Rules))...)
	p.live++
	for _, pl := range t.Players {
		n, ok := p.holders[playerID(pl)]
		if !ok {
			n = int32(len(p.held))
			p.holders[playerID(pl)] = n
			p.held = append(p.held, 0)
		}
		p.holder = append(p.holder, n)
		if p.held[n]++; p.held[n] == 2 {
			p.twice++
		}
	}
}

// Remove takes a ticket out; false when it is not there.
func (p *Pool) Remove(id string) bool {
	row, ok := p.rows[id]
	if !ok {
		return false
	}
	delete(p.rows, id)
	p.alive[row] = false
	p.live--
	first := p.cols.tFirst[row]
	for _, n := range p.holder[first : first+p.cols.players[row]] {
		if p.held[n]--; p.held[n] == 1 {
			p.twice--
		}
	}
	p.cols.tickets[row] = nil
	return true
}

// Len is the number of tickets in the pool.
func (p *Pool) Len() int { return p.live }

// Ticket finds a ticket of the pool.
func (p *Pool) Ticket(id string) (*Ticket, bool) {
	row, ok := p.rows[id]
	if !ok {
		return nil, false
	}
	return p.cols.tickets[row], true
}

// Metrics are the rule evaluations of all searches around this ticket so far.
func (p *Pool) Metrics(id string) []RuleMetric {
	n := len(p.rs.Rules)
	row, ok := p.rows[id]
	if !ok {
		return metrics(p.rs, make([]counts, n))
	}
	return metrics(p.rs, p.tally[int(row)*n:int(row+1)*n])
}

// NextStep is the next instant after now at which some ticket reaches an expansion step,
// so that a pass may find what the last one could not.
func (p *Pool) NextStep(now time.Time) (next time.Time, ok bool) {
	ms := now.UnixMilli()
	look := func(row int32, step time.Duration) bool {
		if !p.alive[row] || p.cols.start[row]+step.Milliseconds() <= ms {
			return false
		}
		if at := p.cols.tickets[row].Start.Add(step); !ok || at.Before(next) {
			next, ok = at, true
		}
		return true
	}
	for _, step := range p.rs.steps {
		first, _ := slices.BinarySearchFunc(p.order, ms-step.Milliseconds()+1, func(row int32, start int64) int {
			return cmp.Compare(p.cols.start[row], start)
		})
		for _, row := range p.order[first:] {
			if look(row, step) {
				break
			}
		}
		for _, row := range p.added {
			look(row, step)
		}
	}
	return next, ok
}

// Pass makes every match it finds at an instant and takes their tickets out of the pool.
//
// Each ticket in turn, oldest first (backfill tickets first or last as the rule set
// says), is the anchor a match is built around. Of several legal matches the one with
// the most players wins, then the one whose tickets come first in the batch. An anchor
// that finds no match does not stop the next one (spec 2.2).
//
// When nothing has come since the last pass and no ticket has reached an expansion step, it
// returns at once: leaving makes no match possible that was not.
func (p *Pool) Pass(now time.Time) []Match {
	if p.settled && len(p.added) == 0 && !now.Before(p.passed) {
		if step, ok := p.NextStep(p.passed); !ok || step.UnixMilli() > now.UnixMilli() {
			return nil
		}
	}
	p.tidy()
	var made []Match
	if p.rs.Large() {
		made = p.passLarge(now)
	} else {
		made = p.passSmall(now)
	}
	for _, m := range made {
		for _, t := range m.Tickets {
			p.Remove(t.ID)
		}
	}
	p.settled, p.passed = !p.rs.Large() && p.allTried(now), now
	return made
}

// allTried says that every ticket that can match was an anchor at its level, in vain.
func (p *Pool) allTried(now time.Time) bool {
	for _, row := range p.order {
		if p.alive[row] && p.cols.broken[row] == "" && int(p.tried[row]) != 1+p.levelAt(row, now) {
			return false
		}
	}
	return true
}

// levelAt is the expansion level a row has reached.
func (p *Pool) levelAt(row int32, now time.Time) int {
	return p.rs.levelOf(time.Duration(now.UnixMilli()-p.cols.start[row]) * time.Millisecond)
}

// tidy drops removed rows from the kept orders, and starts the columns afresh when most
// of them are dead weight.
func (p *Pool) tidy() {
	if dead := len(p.alive) - p.live; dead > 1024 && dead > p.live {
		if limit := 100_000 + 16*p.live; len(p.held) > limit || len(p.prog.sym.names) > limit {
			p.compact()
		} else {
			p.squeeze()
		}
	}
	p.added = slices.DeleteFunc(p.added, func(row int32) bool { return !p.alive[row] })
	age := func(row int32) int64 { return p.cols.start[row] }
	p.order = merge(p, p.order, age, p.olderOfAge)
	if col := p.prog.shape.window; col >= 0 {
		number := func(row int32) float64 { return p.cols.ticketNumber(col, row, average) }
		p.byValue = merge(p, p.byValue, number, p.older)
	}
	p.added = p.added[:0]
}

// keyedRow is a row beside what it is sorted by, so that sorting does not go back to the
// columns.
type keyedRow[K cmp.Ordered] struct {
	key K
	row int32
}

// merge brings a list of rows, sorted by a key and among equals by tie, up to date:
// without the dead, with the added.
func merge[K cmp.Ordered](p *Pool, list []int32, key func(row int32) K, tie func(a, b int32) int) []int32 {
	if len(list) > p.live-len(p.added) {
		list = slices.DeleteFunc(list, func(row int32) bool { return !p.alive[row] })
	}
	if len(p.added) == 0 {
		return list
	}
	keyed := make([]keyedRow[K], len(p.added))
	for i, row := range p.added {
		keyed[i] = keyedRow[K]{key(row), row}
	}
	slices.SortFunc(keyed, func(a, b keyedRow[K]) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return tie(a.row, b.row)
	})
	added := make([]int32, len(keyed))
	for i, k := range keyed {
		added[i] = k.row
	}
	compare := func(a, b int32) int {
		if c := cmp.Compare(key(a), key(b)); c != 0 {
			return c
		}
		return tie(a, b)
	}
	i, j := len(list)-1, len(added)-1
	list = slices.Grow(list, len(added))[:len(list)+len(added)]
	for k := len(list) - 1; j >= 0; k-- {
		if i >= 0 && compare(list[i], added[j]) > 0 {
			list[k] = list[i]
			i--
		} else {
			list[k] = added[j]
			j--
		}
	}
	return list
}

// older orders rows by age.
func (p *Pool) older(a, b int32) int {
	if c := cmp.Compare(p.cols.start[a], p.cols.start[b]); c != 0 {
		return c
	}
	return p.olderOfAge(a, b)
}

// olderOfAge orders rows of one age by the seed's tie-break.
func (p *Pool) olderOfAge(a, b int32) int {
	x, y := p.cols.tickets[a], p.cols.tickets[b]
	if p.opts.Seed != 0 {
		if c := cmp.Compare(mix(p.opts.Seed, x.ID), mix(p.opts.Seed, y.ID)); c != 0 {
			return c
		}
	}
	return cmp.Compare(x.ID, y.ID)
}

// mix is a hash that is the same in every process (FNV-1a with the seed mixed in).
func mix(seed uint64, text string) uint64 {
	h := seed ^ 14695981039346656037
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h ^ h>>29
}

// squeeze drops dead rows from the columns. Strings and players keep their numbers.
func (p *Pool) squeeze() {
	n := len(p.rs.Rules)
	cols, moved := p.cols.keep(p.alive)
	move := func(rows []int32) []int32 {
		rows = slices.DeleteFunc(rows, func(row int32) bool { return !p.alive[row] })
		for i, row := range rows {
			rows[i] = moved[row]
		}
		return rows
	}
	p.order, p.added, p.byValue = move(p.order), move(p.added), move(p.byValue)
	for id, row := range p.rows {
		p.rows[id] = moved[row]
	}
	var tally []counts
	var tried []int16
	var holder []int32
	for row, ok := range p.alive {
		if ok {
			tally = append(tally, p.tally[row*n:(row+1)*n]...)
			tried = append(tried, p.tried[row])
			first := p.cols.tFirst[row]
			holder = append(holder, p.holder[first:first+p.cols.players[row]]...)
		}
	}
	p.tally, p.tried, p.holder, p.cols = tally, tried, holder, cols
	p.alive = slices.Repeat([]bool{true}, p.live)
	p.search, p.probes = nil, nil
}

// compact rebuilds the columns from the live tickets; what was counted stays counted.
func (p *Pool) compact() {
	n := len(p.rs.Rules)
	type kept struct {
		t     *Ticket
		tally []counts
		tried int16
	}
	var keep []kept
	for row, ok := range p.alive {
		if ok {
			keep = append(keep, kept{p.cols.tickets[row], p.tally[row*n : (row+1)*n], p.tried[row]})
		}
	}
	p.fresh()
	for _, k := range keep {
		p.Add(k.t)
		copy(p.tally[len(p.tally)-n:], k.tally)
		p.tried[len(p.tried)-1] = k.tried
	}
}
