package compute_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

// many reserves processes and sends each a game session.
func (r *rooms) many(at arn.Location, n int) (list []compute.Reserved) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		f, err := r.Fleets.HoldTx(tx, arn.FleetID(r.fleet))
		if err != nil {
			return err
		}
		if list, err = r.ReserveManyTx(tx, f, at, n); err != nil {
			return err
		}
		messages := make([]compute.CreateGameSession, len(list))
		for i := range messages {
			messages[i].GameSessionName = new(fmt.Sprint("game ", list[i].Key))
		}
		return r.StartManyTx(tx, list, messages)
	})
	return list
}

// Many at once are taken as they would be one by one: all of the fullest compute first, and
// of each those that are ready for longest.
func TestReserveMany(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		for _, name := range []string{"one", "two", "three"} {
			r.register(name, east)
		}
		r.register("far", west)
		names := map[store.Key]string{}
		for _, pid := range []string{"one-a", "two-a", "two-b", "three-a", "three-b", "two-c"} {
			names[r.ready(pid[:len(pid)-2], pid).Key] = pid
			r.clock.Advance(1)
		}
		expect.Same(t, "none are wanted", len(r.many(east, 0)), 0)
		expect.Same(t, "none is there", len(r.many(west, 3)), 0)
		taken := func(list []compute.Reserved) string {
			var pids []string
			for _, p := range list {
				pids = append(pids, names[p.Key])
			}
			slices.Sort(pids)
			return fmt.Sprint(pids)
		}
		expect.Same(t, "first", taken(r.many(east, 1)), "[one-a]")
		expect.Same(t, "then", taken(r.many(east, 2)), "[two-a two-b]")
		last := r.many(east, 10)
		expect.Same(t, "the rest", taken(last), "[three-a three-b two-c]")
		expect.Same(t, "and none", len(r.many(east, 1)), 0)
		r.checkCounts()

		messages, err := r.TakeInbox(t.Context(), []store.Key{last[0].Key})
		expect.OK(t, err)
		expect.Same(t, "messages", len(messages), 1)

		var keys []store.Key
		for k := range names {
			keys = append(keys, k)
		}
		for range 2 { // a repeat changes nothing
			r.write(func(tx *store.Tx) error { return r.ActivatedManyTx(tx, keys) })
			r.checkCounts()
		}
		expect.OK(t, r.End(t.Context(), keys[0], compute.Normal))
		r.write(func(tx *store.Tx) error { return r.ActivatedManyTx(tx, keys) })
		r.checkCounts()
	})
}

func TestReserveManyKeepsTheActivationLimit(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		_, err := r.Fleets.UpdateRuntimeConfiguration(t.Context(), &gamelift.UpdateRuntimeConfigurationInput{
			FleetId: &r.fleet, RuntimeConfiguration: &types.RuntimeConfiguration{MaxConcurrentGameSessionActivations: new(int32(2))},
		})
		expect.OK(t, err)
		free := func() (n int) {
			r.write(func(tx *store.Tx) error {
				f, err := r.Fleets.GetTx(tx, arn.FleetID(r.fleet))
				if err != nil {
					return err
				}
				all, err := r.FreeTx(tx, f)
				n = all[east]
				return err
			})
			return n
		}
		r.register("one", east)
		r.register("two", east)
		for i := range 3 {
			r.ready("one", fmt.Sprint("one-", i))
		}
		r.ready("two", "two")
		expect.Same(t, "free", free(), 3)
		list := r.many(east, 10)
		expect.Same(t, "taken", len(list), 3)
		expect.Same(t, "free", free(), 0)
		r.write(func(tx *store.Tx) error {
			return r.ActivatedManyTx(tx, []store.Key{list[0].Key, list[1].Key, list[2].Key})
		})
		expect.Same(t, "free after activation", free(), 1)
		expect.Same(t, "taken", len(r.many(east, 10)), 1)
		r.checkCounts()
	})
}

// Transactions reserve many at the same time, out of computes that do not
// suffice for one of them alone.
func TestReserveManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		const computes, each = 6, 10
		for c := range computes {
			name := fmt.Sprint("host-", c)
			r.register(name, east)
			for i := range each {
				r.ready(name, fmt.Sprint(name, "-", i))
			}
		}
		var mu sync.Mutex
		seen := map[store.Key]bool{}
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				list := r.many(east, 7)
				mu.Lock()
				defer mu.Unlock()
				for _, p := range list {
					if seen[p.Key] {
						t.Errorf("process %d was given twice", p.Key)
					}
					seen[p.Key] = true
				}
			})
		}
		all.Wait()
		for len(r.many(east, 7)) > 0 {
			// Those that were passed over, since others had locked them.
		}
		expect.Same(t, "left", r.free(), 0)
		r.checkCounts()
	})
}

func (r *rooms) free() (n int) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		some, err := r.AnyFreeTx(tx)
		if some {
			n = 1
		}
		return err
	})
	return n
}
