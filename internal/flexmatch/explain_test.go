package flexmatch

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// waiting are pools of about 1,000 tickets none of which can be matched: what is left of
// many, and one without the healers the rules want.
func waiting(t testing.TB) map[string]*Pool {
	left := fill(t, fiveWithRoles, nil)
	tickets := crowd(40_000, parties, 21)
	for i := 0; i < len(tickets) && left.Len() < 1_000; i += 100 {
		for _, tk := range tickets[i : i+100] {
			left.Add(tk)
		}
		for range 2 {
			left.Pass(second(1000))
		}
	}
	noHealer := crowd(1_000, parties, 22)
	for _, tk := range noHealer {
		for i := range tk.Players {
			tk.Players[i].PlayerAttributes["roles"] = types.AttributeValue{SL: []string{"dps"}}
		}
	}
	return map[string]*Pool{"left": left, "no healer": fill(t, fiveWithRoles, noHealer)}
}

// BenchmarkExplain explains single tickets of about 1,000 that wait.
func BenchmarkExplain(b *testing.B) {
	for name, p := range waiting(b) {
		b.Run(name, func(b *testing.B) {
			ids := waitingIDs(p)
			n := 0
			var worst time.Duration
			for b.Loop() {
				start := time.Now()
				p.Explain(ids[n%len(ids)], second(1000))
				worst = max(worst, time.Since(start))
				n += 37
			}
			b.ReportMetric(float64(p.Len()), "waiting")
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
		})
	}
}

func waitingIDs(p *Pool) (ids []string) {
	for id := range p.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// TestExplainLooksNearby: of a thousand tickets the index of an explanation holds those
// that could meet the one in question, in memory that is there from the time before.
func TestExplainLooksNearby(t *testing.T) {
	for name, p := range waiting(t) {
		ids := waitingIDs(p)
		explain := func() {
			for i := 0; i < len(ids); i += 50 {
				p.Explain(ids[i], second(1000))
			}
		}
		explain()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		explain()
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(ids)/50) >> 10; each > 400 {
			t.Errorf("%s: an explanation takes %d KiB", name, each)
		}
	}
}

// TestNearbyIsEnough: a search among those in focus finds what one of the whole pool
// finds, whichever rules are left out.
func TestNearbyIsEnough(t *testing.T) {
	now := second(1000)
	large := fill(t, hundredAgainstHundred, crowd(600, parties, 23))
	pools := map[string]*Pool{"5v5": fill(t, fiveBySkill, crowd(300, parties, 24)), "nearest": fill(t, duelNearest, crowd(300, solos, 25)), "large": large}
	maps.Copy(pools, waiting(t))
	for name, p := range pools {
		p.tidy()
		rows := slices.Clone(p.order)
		found, missed := 0, 0
		for i := 0; i < len(rows); i += 23 {
			skips := [][]int{nil, p.prog.levels[0].enforced}
			for _, rule := range p.prog.levels[0].enforced {
				skips = append(skips, []int{rule})
			}
			for _, skip := range skips {
				near, okNear := p.matchFor(rows[i], now, skip)
				q := p.without(skip)
				q.search = nil
				whole, okWhole := q.matchAround(rows[i], rows, nil, now, p.closeness(skip))
				if okNear != okWhole {
					t.Errorf("%s: a match around %s without %v: %v, in the whole pool %v", name, p.cols.tickets[rows[i]].ID, skip, okNear, okWhole)
					continue
				}
				if !okNear {
					missed++
					continue
				}
				found++
				if !slices.Equal(ids(near.Tickets), ids(whole.Tickets)) {
					t.Errorf("%s: without %v %v, in the whole pool %v", name, skip, ids(near.Tickets), ids(whole.Tickets))
				}
			}
		}
		if found+missed < 20 || found == 0 {
			t.Errorf("%s: %d found, %d not", name, found, missed)
		}
	}
}
