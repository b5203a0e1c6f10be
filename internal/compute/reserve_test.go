package compute_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func TestFullestComputeThenLongestReady(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", east)
		r.register("far", west)
		late := r.connect("one", "one-late") // dialled first, ready last
		for _, pid := range []string{"two-b", "two-a", "two-c"} {
			r.ready("two", pid)
			r.clock.Advance(time.Second)
		}
		r.ready("one", "one-first")
		r.clock.Advance(time.Second)
		expect.OK(t, r.Ready(t.Context(), late.Key, compute.Ready{Port: 1}))
		expect.OK(t, r.Health(t.Context(), late.Key, true))
		r.ready("far", "far")

		var got []string
		got = append(got, r.reserved(east)) // nothing hosts anything: the older compute
		busy := r.ready("two", "two-d")
		for range 5 {
			got = append(got, r.reserved(east))
		}
		expect.Same(t, "order", strings.Join(got, " "), "one-first one-late two-b two-a two-c two-d")
		expect.OK(t, r.End(t.Context(), busy.Key, compute.Normal))
		r.full(east, "all 5")
		expect.Same(t, "in the other location", r.reserved(west), "far")

		// two hosts more than one now: its next process goes first.
		r.ready("one", "one-new")
		r.clock.Advance(time.Second)
		r.ready("two", "two-new")
		expect.Same(t, "fullest", r.reserved(east), "two-new")
		r.full("custom-moon", "no compute in custom-moon")
	})
}

// A process that flaps keeps its place among those that are ready.
func TestReadySinceIsWhatCounts(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		first := r.ready("one", "first")
		r.clock.Advance(time.Second)
		r.ready("one", "second")
		expect.OK(t, r.Health(t.Context(), first.Key, false))
		r.clock.Advance(time.Second)
		expect.OK(t, r.Health(t.Context(), first.Key, true))
		expect.Same(t, "reserved", r.reserved(east), "first")
	})
}

func TestActivationLimit(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		_, err := r.Fleets.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{
			FleetId: &r.fleet, RuntimeConfiguration: &types.RuntimeConfiguration{MaxConcurrentGameSessionActivations: new(int32(1))},
		})
		expect.OK(t, err)
		r.register("one", east)
		r.register("two", east)
		for _, pid := range []string{"a", "b", "c"} {
			r.ready("one", pid)
			r.clock.Advance(time.Second)
		}
		r.ready("two", "z")
		a, err := r.reserve(east)
		expect.OK(t, err)
		expect.Same(t, "first", a.ProcessID, "a")
		z, err := r.reserve(east) // one is fuller, but at its limit
		expect.OK(t, err)
		expect.Same(t, "second", z.ProcessID, "z")
		r.full(east, "2 are ready", "activate 1", "limit")

		r.write(func(tx *store.Tx) error { return r.ActivatedTx(tx, a.Key) })
		b, err := r.reserve(east)
		expect.OK(t, err)
		expect.Same(t, "once it is active", b.ProcessID, "b")
		r.full(east, "1 are ready", "limit")
		expect.OK(t, r.End(t.Context(), b.Key, compute.Crashed))
		c, err := r.reserve(east)
		expect.OK(t, err)
		expect.Same(t, "once it is gone", c.ProcessID, "c")
		r.ready("one", "d")
		r.full(east, "limit")
		r.write(func(tx *store.Tx) error {
			return r.SendTx(tx, c.Key, compute.TerminateProcess{At: r.clock.Now().Add(time.Minute)})
		})
		expect.Same(t, "once it is told to end", r.reserved(east), "d")
	})
}

// cluster is two nodes on one PostgreSQL database.
func cluster(t *testing.T) (*rooms, [2]*compute.Service) {
	t.Helper()
	clock := storetest.NewClock()
	url := storetest.PostgresURL(t)
	var nodes [2]*compute.Service
	for i := range nodes {
		db, err := store.Open(context.Background(), url, store.Options{Now: clock.Now})
		expect.OK(t, err)
		t.Cleanup(func() { _ = db.Close() })
		nodes[i] = service(db)
	}
	r := &rooms{t: t, clock: clock, Service: nodes[0]}
	for _, name := range []arn.Location{east, west} {
		_, err := r.Fleets.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new(string(name))})
		expect.OK(t, err)
	}
	r.fleet = r.newFleet(east, west)
	return r, nodes
}

func TestTwoReservationsOneProcess(t *testing.T) {
	one := func(t *testing.T, r *rooms, nodes [2]*compute.Service) {
		r.register("one", east)
		for i := range 20 {
			r.ready("one", fmt.Sprintf("p%d", i))
			var won, lost atomic.Int64
			var wg sync.WaitGroup
			for n := range 4 {
				wg.Go(func() {
					_, err := reserve(t, nodes[n%2], r.fleet, east)
					switch {
					case err == nil:
						won.Add(1)
					case errors.Is(err, compute.ErrNoProcess):
						lost.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			expect.Same(t, "won", won.Load(), 1)
			expect.Same(t, "lost", lost.Load(), 3)
		}
	}
	each(t, func(t *testing.T, r *rooms) { one(t, r, [2]*compute.Service{r.Service, r.Service}) })
	t.Run("two nodes", func(t *testing.T) {
		r, nodes := cluster(t)
		one(t, r, nodes)
		r.checkCounts()
	})
}

// Reservations, ends, flapping health, reconnects and a sweep at once, from two nodes: no
// process is given twice, none is lost, and counts stay right.
func TestReservationsAmongEverythingElse(t *testing.T) {
	storm := func(t *testing.T, r *rooms, nodes [2]*compute.Service) {
		const computes, perCompute, callers, calls = 4, 15, 8, 12 // 96 calls for 60 processes
		var all []compute.Process
		for c := range computes {
			name := fmt.Sprintf("host-%d", c)
			r.register(name, east)
			for i := range perCompute {
				all = append(all, r.ready(name, fmt.Sprintf("%s-%d", name, i)))
			}
		}
		tokens := map[arn.ComputeName]string{}
		for _, p := range all {
			tokens[p.Compute] = r.token(string(p.Compute))
		}
		var mu sync.Mutex
		given := map[store.Key]int{}
		var none int
		var wg sync.WaitGroup
		for n := range callers {
			wg.Go(func() {
				s := nodes[n%2]
				for range calls {
					p, err := reserve(t, s, r.fleet, east)
					if errors.Is(err, compute.ErrNoProcess) {
						mu.Lock()
						none++
						mu.Unlock()
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					given[p.Key]++
					mu.Unlock()
					if err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
						if err := s.SendTx(tx, p.Key, compute.CreateGameSession{GameSessionID: "a"}); err != nil {
							return err
						}
						return s.ActivatedTx(tx, p.Key)
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for n := range 2 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(7, uint64(n)))
				for range 60 {
					p := all[rnd.IntN(len(all))]
					var err error
					switch rnd.IntN(4) {
					case 0:
						err = errors.Join(nodes[n].Health(t.Context(), p.Key, false), nodes[n].Health(t.Context(), p.Key, true))
					case 1:
						err = nodes[n].Disconnect(t.Context(), p.Key, p.Dial)
						if err == nil {
							_, err = nodes[n].Connect(t.Context(), compute.Dial{
								ProcessID: p.ProcessID, Compute: p.Compute, Fleet: p.Fleet, AuthToken: tokens[p.Compute],
							})
						}
					case 2:
						err = nodes[n].Tick(t.Context(), r.clock.Now())
					case 3:
						_, err = nodes[n].TakeInbox(t.Context(), []store.Key{p.Key, all[0].Key})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for key, n := range given {
			if n != 1 {
				t.Errorf("process %d was given %d times", key, n)
			}
		}
		// Whatever flapped at the wrong moment is still there.
		for _, p := range all {
			now := r.read(p)
			if (now.Status == compute.StatusHosting) != (given[p.Key] == 1) {
				t.Errorf("process %s is %s and was given %d times", p.ProcessID, now.Status, given[p.Key])
			}
		}
		for range len(all) - len(given) {
			r.reserved(east)
		}
		r.full(east, "all 60")
		checkCounts(t, r.DB)
		t.Logf("%d given, %d calls found none", len(given), none)
	}
	each(t, func(t *testing.T, r *rooms) { storm(t, r, [2]*compute.Service{r.Service, r.Service}) })
	t.Run("two nodes", func(t *testing.T) {
		r, nodes := cluster(t)
		storm(t, r, nodes)
	})
}

// Transactions that reserve many processes, on computes that have fewer: whoever waits in a
// circle is run again, and nobody fails.
func TestManyReservationsInOneTransaction(t *testing.T) {
	r, nodes := cluster(t)
	for c := range 6 {
		name := fmt.Sprintf("host-%d", c)
		r.register(name, east)
		for i := range 4 {
			r.ready(name, fmt.Sprintf("%s-%d", name, i))
		}
	}
	var mu sync.Mutex
	given := map[store.Key]int{}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			var got []store.Key
			err := nodes[n%2].DB.Write(t.Context(), func(tx *store.Tx) error {
				got = got[:0]
				f, err := nodes[n%2].Fleets.GetTx(tx, arn.FleetID(r.fleet))
				if err != nil {
					return err
				}
				for range 8 { // 32 wanted, 24 there
					p, err := nodes[n%2].ReserveTx(tx, f, east)
					if errors.Is(err, compute.ErrNoProcess) {
						return nil
					}
					if err != nil {
						return err
					}
					got = append(got, p.Key)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, k := range got {
				given[k]++
			}
		})
	}
	wg.Wait()
	expect.Same(t, "given", len(given), 24)
	r.full(east, "all 24")
	checkCounts(t, r.DB)
}

// A socket moves from one node to the other, and then its first node dies.
func TestProcessMovesBetweenNodes(t *testing.T) {
	r, nodes := cluster(t)
	r.register("one", east)
	p := r.ready("one", "p")
	q := r.ready("one", "q")
	d := r.dial("one", "p")
	moved, err := nodes[1].Connect(t.Context(), d)
	expect.OK(t, err)
	stale, err := nodes[0].Keep(t.Context(), []compute.Socket{{Process: p.Key, Dial: p.Dial}, {Process: q.Key, Dial: q.Dial}})
	expect.OK(t, err)
	expect.Same(t, "stale on the first node", fmt.Sprint(stale), fmt.Sprint([]compute.Socket{{Process: p.Key, Dial: p.Dial}}))
	expect.OK(t, nodes[0].Disconnect(t.Context(), p.Key, p.Dial))
	expect.Same(t, "after the old socket's close", r.read(p).Connected, true)
	expect.Same(t, "number", moved.Dial, p.Dial+1)

	expect.OK(t, nodes[0].DB.Close()) // the first node leaves the table of nodes
	r.Service = nodes[1]
	r.tick(0)
	expect.Same(t, "moved", r.read(p).Connected, true)
	expect.Same(t, "left behind", r.read(q).Connected, false)
	r.tick(200 * time.Second)
	expect.Same(t, "crashed", r.events(), "SERVER_PROCESS_CRASHED x1")
	expect.Same(t, "free", r.reserved(east), "p")
}

// BenchmarkReserve reserves a process beside many that are free, and undoes it: the cost
// must not grow with their number.
func BenchmarkReserve(b *testing.B) {
	undo := errors.New("undo")
	for kind, url := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + b.TempDir() + "/db" },
		"postgres": func() string { return storetest.PostgresURL(b) },
	} {
		for _, n := range []int{100, 10000, 100000} {
			b.Run(fmt.Sprintf("%s/free=%d", kind, n), func(b *testing.B) {
				db, err := store.Open(context.Background(), url(), store.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = db.Close() }()
				s, f := benchFleet(b, db, n)
				var spent time.Duration
				for b.Loop() {
					if err := db.Write(b.Context(), func(tx *store.Tx) error {
						start := time.Now()
						_, err := s.ReserveTx(tx, f, east)
						spent += time.Since(start)
						return cmp.Or(err, undo)
					}); !errors.Is(err, undo) {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/reserve")
			})
		}
	}
}

// BenchmarkConnect is many processes of one compute dialling in at once.
func BenchmarkConnect(b *testing.B) {
	for kind, url := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + b.TempDir() + "/db" },
		"postgres": func() string { return storetest.PostgresURL(b) },
	} {
		b.Run(kind, func(b *testing.B) {
			db, err := store.Open(context.Background(), url(), store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			s, f := benchFleet(b, db, 10)
			var n atomic.Int64
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p, err := s.Connect(b.Context(), compute.Dial{
						ProcessID: fmt.Sprint("new-", n.Add(1)), Compute: "host-0", Fleet: f.ID, Trusted: true,
					})
					if err == nil {
						err = s.Ready(b.Context(), p.Key, compute.Ready{Port: 1})
					}
					if err == nil {
						err = s.Health(b.Context(), p.Key, true)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// benchFleet is a fleet of ten computes with n free processes.
func benchFleet(b *testing.B, db *store.DB, n int) (s *compute.Service, f fleet.Fleet) {
	b.Helper()
	s = service(db)
	fail := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	_, err := s.Fleets.CreateLocation(b.Context(), &gamelift.CreateLocationInput{LocationName: new(string(east))})
	fail(err)
	out, err := s.Fleets.CreateFleet(b.Context(), &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new(string(east))}},
	})
	fail(err)
	id := *out.FleetAttributes.FleetId
	for c := range 10 {
		name := fmt.Sprintf("host-%d", c)
		_, err := s.RegisterCompute(b.Context(), registration(id, name, east))
		fail(err)
		p, err := s.Connect(b.Context(), compute.Dial{ProcessID: "p", Compute: arn.ComputeName(name), Fleet: arn.FleetID(id), Trusted: true})
		fail(err)
		fail(s.Ready(b.Context(), p.Key, compute.Ready{Port: 1}))
		fail(s.Health(b.Context(), p.Key, true))
		// The others are copies of the first.
		fail(db.Write(b.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS BIGINT))
				INSERT INTO process SELECT key + i, compute, fleet, fleet_id, compute_name, location, ip_address, dns_name, agent, 'p' || CAST(i AS TEXT),
				created_with, token, status, healthy, free, activating, hosted, dial, node, gone_at, dialled_at, ready_at + i, end_by, ended_at,
				ended_why, sent, port, log_paths, sdk_version, sdk_language, tool_name, tool_version FROM process, n WHERE key = $1`, p.Key, n/10-1)
			if err != nil {
				return err
			}
			_, err = tx.Exec(`UPDATE compute SET ready = $2, free = $2 WHERE key = $1`, p.ComputeKey, n/10)
			return err
		}))
	}
	fail(db.Read(b.Context(), func(tx *store.Tx) (err error) {
		f, err = s.Fleets.GetTx(tx, arn.FleetID(id))
		return err
	}))
	return s, f
}
