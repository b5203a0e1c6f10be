package flexmatch

// roster is a candidate match: units in their teams, in the order of joining.
//
// A unit is what counts as one towards the rules: the players of one ticket together,
// or, of a backfill ticket, each player alone (spec 2.3). All of a unit's numbers stand
// in the pool's columns under the unit's index.
type roster struct {
	p     *columns
	units []int32
	team  []uint8 // of each unit
	size  []int32 // players in each team
	total int

	max []int32 // slots of each team
	cap int     // slots of the match

	perTeam []accumulator
	tmp     scratch
}

func newRoster(p *columns, teams int) *roster {
	return &roster{p: p, size: make([]int32, teams), perTeam: make([]accumulator, teams)}
}

func (r *roster) clear() {
	r.units, r.team, r.total = r.units[:0], r.team[:0], 0
	clear(r.size)
}

func (r *roster) push(unit int32, team uint8) {
	n := r.p.uSize[unit]
	r.units, r.team = append(r.units, unit), append(r.team, team)
	r.size[team] += n
	r.total += int(n)
}

// pop takes back the last n units.
func (r *roster) pop(n int) {
	for range n {
		last := len(r.units) - 1
		size := r.p.uSize[r.units[last]]
		r.size[r.team[last]] -= size
		r.total -= int(size)
		r.units, r.team = r.units[:last], r.team[:last]
	}
}

// move puts the unit at index i into another team.
func (r *roster) move(i int, team uint8) {
	n := r.p.uSize[r.units[i]]
	r.size[r.team[i]] -= n
	r.size[team] += n
	r.team[i] = team
}

// open is how many players the selected teams can still take.
func (r *roster) open(mask uint64) int {
	n := int32(0)
	for t := range r.size {
		if mask>>t&1 == 1 {
			n += r.max[t] - r.size[t]
		}
	}
	return min(int(n), r.cap-r.total)
}
