package placement_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// engines runs passes on several nodes, as the program does, until the test is done with
// them.
func engines(t *testing.T, nodes ...*rooms) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, n := range nodes {
		woken := make(chan struct{}, 1)
		poke := func(string) {
			select {
			case woken <- struct{}{}:
			default:
			}
		}
		all.Go(func() {
			defer n.DB.Subscribe(compute.ChannelFree, poke)()
			defer n.DB.Subscribe(placement.Channel, poke)()
			for {
				select {
				case <-ctx.Done():
					return
				case <-woken:
				case <-time.After(time.Second):
				}
				if err := n.Pass(ctx, placement.Woken{All: true}); err != nil && ctx.Err() == nil {
					t.Errorf("pass: %v", err)
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// processes makes many processes of a fleet free.
func (r *rooms) processes(fleet, host string, n int) {
	r.t.Helper()
	var all sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				p, err := r.Computes.Connect(r.t.Context(), compute.Dial{
					ProcessID: fmt.Sprintf("%s-%d", host, i), Compute: arn.ComputeName(host), Fleet: arn.FleetID(fleet),
					IdempotencyToken: "once", SDKVersion: "5.5.0", SDKLanguage: "Go", Trusted: true,
				})
				if err == nil {
					err = errors.Join(r.Computes.Ready(r.t.Context(), p.Key, compute.Ready{Port: 7000}), r.Computes.Health(r.t.Context(), p.Key, true))
				}
				if err != nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// count is how many placements have a condition.
func (r *rooms) count(where string) (n int) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM placement WHERE ` + where).Scan(&n)
	}))
	return n
}

// within waits for a condition of the database.
func (r *rooms) within(limit time.Duration, what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// Two nodes, as many processes as placements, and both come at the same time: each placement
// gets a process, and no process two.
func TestTwoNodesPlaceAll(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 100
	}
	url := storetest.PostgresURL(t)
	a := furnish(t, storetest.Open(t, url, time.Now), storetest.NewClock())
	b := &rooms{t: t, Service: service(storetest.Open(t, url, time.Now))}
	f := a.newFleet("", east, west)
	for _, at := range []string{east, west} {
		a.compute(f, "more-"+at, at)
	}
	a.queue("arena", nil, f)
	defer engines(t, a, b)()
	var all sync.WaitGroup
	for _, host := range []string{"host-" + east, "host-" + west, "more-" + east, "more-" + west} {
		all.Go(func() { a.processes(f, host, n/4) })
	}
	var next atomic.Int64
	for c := range 32 {
		node := []*rooms{a, b}[c%2]
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, err := node.StartGameSessionPlacement(t.Context(), asks(fmt.Sprint("p", i), "arena")); err != nil {
					t.Errorf("placement %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	b.within(time.Minute, "all placements have a game session", func() bool { return b.count(`game IS NOT NULL`) == n })
	a.checkRows()

	// And all are activated, on both nodes at the same time.
	games := b.activations()
	expect.Same(t, "game sessions", len(games), n)
	for c := range 8 {
		node := []*rooms{a, b}[c%2]
		all.Go(func() {
			for i := c; i < len(games); i += 8 {
				if err := node.Sessions.Activate(t.Context(), games[i].process, games[i].name); err != nil {
					t.Errorf("activate %s: %v", games[i].name, err)
				}
			}
		})
	}
	all.Wait()
	expect.Same(t, "fulfilled", a.count(`status = 2`), n)
	expect.Same(t, "events", len(a.told()), n)
	a.checkRows()
}

// hosted is a game session that waits to be activated.
type hosted struct {
	process store.Key
	name    string
}

func (r *rooms) activations() (list []hosted) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT g.process, p.game_arn FROM placement p JOIN game_session g ON g.key = p.game WHERE p.status = 1 ORDER BY p.key`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h hosted
			if err := rows.Scan(&h.process, &h.name); err != nil {
				return err
			}
			list = append(list, h)
		}
		return rows.Err()
	}))
	return list
}

// A node that is gone in the middle leaves nothing undone: what it took in is placed by the
// other, and so is what it was working on.
func TestANodeIsAbandoned(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 100
	}
	url := storetest.PostgresURL(t)
	gone, err := store.Open(context.Background(), url, store.Options{})
	expect.OK(t, err)
	a := &rooms{t: t, Service: service(gone)}
	b := furnish(t, storetest.Open(t, url, time.Now), storetest.NewClock())
	f := b.newFleet("", east)
	b.queue("arena", nil, f)
	stopA, stopB := engines(t, a), engines(t, b)
	defer stopB()
	ctx, abandon := context.WithCancel(t.Context())
	defer abandon()
	var all sync.WaitGroup
	all.Go(func() { b.processes(f, "host-"+east, n) })
	var next, taken atomic.Int64
	for c := range 16 {
		node, ctx := a, ctx
		if c%2 == 1 {
			node, ctx = b, t.Context()
		}
		all.Go(func() {
			for i := next.Add(1); i <= int64(n) && ctx.Err() == nil; i = next.Add(1) {
				_, err := node.StartGameSessionPlacement(ctx, asks(fmt.Sprint("p", i), "arena"))
				switch {
				case err == nil:
					if taken.Add(1) == int64(n)/3 {
						abandon()
						stopA()
						go func() { _ = gone.Close() }() // its connections break
					}
				case ctx.Err() == nil:
					t.Errorf("placement %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	b.within(time.Minute, "all placements have a game session", func() bool { return b.count(`game IS NULL`) == 0 })
	if got := b.count(`TRUE`); got < int(taken.Load()) {
		t.Errorf("%d placements were taken in, and %d are there", taken.Load(), got)
	}
	b.checkRows()
}

// crowd makes many placements that wait, some for anything and some with latencies.
func (r *rooms) crowd(n int, queue string) {
	r.t.Helper()
	var all sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				in := asks(fmt.Sprint(queue, "-", i), queue)
				if i%2 == 0 {
					in.PlayerLatencies = []types.PlayerLatency{
						{PlayerId: new("ann"), RegionIdentifier: new(east), LatencyInMilliseconds: new(float32(i % 100))},
						{PlayerId: new("ann"), RegionIdentifier: new(west), LatencyInMilliseconds: new(float32(60))},
					}
				}
				if _, err := r.StartGameSessionPlacement(r.t.Context(), in); err != nil {
					r.t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Ten thousand placements wait for nothing. A pass and a tick, of which there is one a
// second, must not cost more than a twentieth of a second together; and the one process that
// comes at last has its placement at once.
func TestTenThousandWait(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	each(t, func(r *rooms) {
		f := r.newFleet("", east, west)
		r.queue("arena", func(in *gamelift.CreateGameSessionQueueInput) {
			in.PlayerLatencyPolicies = []types.PlayerLatencyPolicy{{MaximumIndividualPlayerLatencyMilliseconds: new(int32(50))}}
		}, f)
		r.crowd(10_000, "arena")
		best := time.Hour
		for range 10 {
			begun := time.Now()
			r.tick(time.Millisecond)
			r.pass()
			best = min(best, time.Since(begun))
		}
		t.Logf("a tick and a pass with 10,000 who wait: %s", best)
		if best > 50*time.Millisecond {
			t.Errorf("a tick and a pass take %s", best)
		}
		// West is too far for those with latencies; the oldest of the others has it.
		r.process(f, west)
		begun := time.Now()
		r.pass()
		t.Logf("a pass that places one of 10,000: %s", time.Since(begun))
		expect.Same(t, "placed", r.count(`game IS NOT NULL AND latent = 0`), 1)
		expect.Same(t, "placed with latencies", r.count(`game IS NOT NULL AND latent = 1`), 0)
		expect.Same(t, "who", r.count(`game IS NOT NULL AND key = (SELECT min(key) FROM placement WHERE latent = 0)`), 1)
	})
}

// A placement is stopped, or its time comes, or a process comes, all at the same moment: it
// has one outcome and one event.
func TestRacesOfEndings(t *testing.T) {
	each(t, func(r *rooms) {
		f := r.newFleet("", east)
		r.queue("arena", func(in *gamelift.CreateGameSessionQueueInput) { in.TimeoutInSeconds = new(int32(10)) }, f)
		const n = 20
		for i := range n {
			id := fmt.Sprint("p", i)
			r.start(asks(id, "arena"))
			r.clock.Advance(9999 * time.Millisecond)
			var all sync.WaitGroup
			var stopped atomic.Bool
			all.Go(func() { stopped.Store(r.stop(id) == nil) })
			all.Go(func() {
				r.process(f, east)
				r.pass()
			})
			all.Go(func() {
				r.clock.Advance(time.Millisecond)
				expect.OK(t, r.Tick(t.Context(), r.clock.Now()))
			})
			all.Wait()
			expect.OK(t, r.Tick(t.Context(), r.clock.Now()))
			p := r.get(id)
			expect.Same(t, id+" was stopped", stopped.Load(), p.Status == types.GameSessionPlacementStateCancelled)
			if p.Status != types.GameSessionPlacementStateCancelled && p.Status != types.GameSessionPlacementStateTimedOut {
				t.Errorf("%s is %s", id, p.Status)
			}
			expect.Same(t, id+" has events", len(r.told()), 1)
		}
	})
}
