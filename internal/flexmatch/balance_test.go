package flexmatch

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// TestTeamsBalanceBest: of all assignments of its parties to two teams in which a match
// is legal by the second evaluator, it has the one with the closest means.
func TestTeamsBalanceBest(t *testing.T) {
	for name, body := range map[string]string{"skill": fiveBySkill, "roles": fiveWithRoles} {
		t.Run(name, func(t *testing.T) {
			o := newOracle(body)
			made := fill(t, body, crowd(400, parties, 11)).Pass(second(1000))
			if len(made) < 10 {
				t.Fatalf("%d matches", len(made))
			}
			for _, m := range made {
				checkMatch(t, o, m, 1000, 0)
				if got, best := apartOf(m, 0, 1), bestApart(o, m); got > best+1e-6 {
					t.Errorf("%v: the means differ by %.2f, they could by %.2f", ids(m.Tickets), got, best)
				}
			}
		})
	}
}

// apartOf is how far apart the mean skills of two teams are.
func apartOf(m Match, red, blue int) float64 {
	mean := func(team MatchTeam) float64 {
		total := 0.0
		for _, p := range team.Players {
			total += *p.PlayerAttributes["skill"].N
		}
		return total / float64(len(team.Players))
	}
	return abs(mean(m.Teams[red]) - mean(m.Teams[blue]))
}

// bestApart tries every assignment of a match's tickets to its two teams.
func bestApart(o *oracle, m Match) float64 {
	best := 1e9
	for mask := range 1 << len(m.Tickets) {
		p := placed{tickets: m.Tickets, team: map[string]string{}}
		split := Match{Teams: make([]MatchTeam, 2)}
		for i, tk := range m.Tickets {
			team := mask >> i & 1
			split.Teams[team].Players = append(split.Teams[team].Players, tk.Players...)
			for _, pl := range tk.Players {
				p.team[*pl.PlayerId] = m.Teams[team].Name
			}
		}
		if len(split.Teams[0].Players) != len(split.Teams[1].Players) {
			continue
		}
		if d := apartOf(split, 0, 1); d < best && o.legal(p, 1000, 0) {
			best = d
		}
	}
	return best
}

// TestTeamsBalanceWithoutBeingAsked: no rule speaks of teams, a sort alone of skill. Sizes
// come out even before skills do, and of many teams none is left with the best.
func TestTeamsBalanceWithoutBeingAsked(t *testing.T) {
	pool := fill(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
	 "teams":[{"name":"t","minPlayers":2,"maxPlayers":4,"quantity":4}],
	 "rules":[{"name":"Near","type":"distanceSort","sortDirection":"ascending","sortAttribute":"skill"}]}`, nil)
	for i := range 16 { // the strong come in fours: dealt in turn they would land together
		pool.Add(skilled(fmt.Sprintf("s%02d", i), i, float64(100*(i%4))))
	}
	made := pool.Pass(second(1000))
	if len(made) != 1 || made[0].Players() != 16 {
		t.Fatalf("%d matches", len(made))
	}
	for i := range 4 {
		for j := range i {
			if d := apartOf(made[0], i, j); d > 0 {
				t.Errorf("teams %d and %d differ by %v", i, j, d)
			}
		}
	}

	pool = fill(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
	 "teams":[{"name":"red","minPlayers":1,"maxPlayers":6},{"name":"blue","minPlayers":1,"maxPlayers":6}]}`, nil)
	for i, n := range []int{1, 1, 1, 3} {
		tk := skilled(fmt.Sprintf("p%d", i), i, 10)
		for j := 1; j < n; j++ {
			tk.Players = append(tk.Players, player(fmt.Sprintf("p%d-%d", i, j), 10))
		}
		pool.Add(tk)
	}
	made = pool.Pass(second(1000))
	if len(made) != 1 || len(made[0].Teams[0].Players) != 3 || len(made[0].Teams[1].Players) != 3 {
		t.Fatalf("want three against three, got %v", made)
	}
}

func skilled(id string, start int, skill float64) *Ticket {
	return &Ticket{ID: id, Start: second(start), Players: []types.Player{player(id, skill)}}
}

func player(id string, skill float64) types.Player {
	return types.Player{PlayerId: new(id), PlayerAttributes: map[string]types.AttributeValue{"skill": {N: new(skill)}}}
}
