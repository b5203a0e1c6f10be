package placement

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// mostClaims is how many placements one transaction of a pass works on.
const mostClaims = 256

// Woken says for whom there may be something to do.
type Woken struct {
	All    bool          // for everybody
	Fleets []arn.FleetID // processes of these became free
	Queues []store.Key   // something of these changed
}

// Pass starts game sessions for placements that wait, where processes are free: the oldest
// first, and none keeps a younger one from a process that it cannot use itself
// (sessions-placement.md 6.7). It costs next to nothing where nobody waits or nothing is
// free, however many wait. Several passes may run at once, on one node or on several.
func (s *Service) Pass(ctx context.Context, w Woken) error {
	if err := s.relax(ctx); err != nil {
		return err
	}
	queues, err := s.worthwhile(ctx, w)
	if err != nil {
		return err
	}
	var failed error
	for _, q := range queues {
		failed = errors.Join(failed, s.passQueue(ctx, q))
	}
	return failed
}

// relax takes the steps of latency policies that are due: when policies were changed, that
// is at once.
func (s *Service) relax(ctx context.Context) error {
	var due bool
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		due, err = stepDue(tx)
		return err
	}); err != nil || !due {
		return err
	}
	return s.repeat(ctx, func(tx *store.Tx) (bool, error) { return s.stepTx(tx, tx.NowMs()) })
}

// worthwhile are the queues in which somebody waits, that offer a free process, and for
// which w is; the one with the oldest placement first.
func (s *Service) worthwhile(ctx context.Context, w Woken) (keys []store.Key, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		keys = nil
		waiting, err := waitingQueues(tx)
		if err != nil || len(waiting) == 0 {
			return err
		}
		free, err := s.Computes.AnyFreeTx(tx)
		if err != nil || !free {
			return err
		}
		for _, k := range waiting {
			q, err := queueByKey(tx, k)
			if errors.Is(err, store.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			st, err := s.stockOf(tx, q, false)
			if err != nil {
				return err
			}
			if !w.includes(k, st) || q.deleted {
				continue
			}
			some, err := someoneCanUse(tx, k, st.free())
			if err != nil {
				return err
			}
			if some {
				keys = append(keys, k)
			}
		}
		return nil
	})
	return keys, err
}

// someoneCanUse tells whether somebody waits in the queue who can go to one of the locations.
func someoneCanUse(tx *store.Tx, queue store.Key, free map[string]int) (bool, error) {
	if len(free) == 0 {
		return false, nil
	}
	for _, location := range append(slices.Sorted(maps.Keys(free)), anywhere) {
		if some, err := someoneWaits(tx, queue, location); some || err != nil {
			return some, err
		}
	}
	return false, nil
}

func (w Woken) includes(queue store.Key, st stock) bool {
	if w.All || slices.Contains(w.Queues, queue) {
		return true
	}
	return slices.ContainsFunc(st.destinations, func(d destination) bool { return slices.Contains(w.Fleets, d.fleet) })
}

// passQueue runs transactions until one finds nothing to do.
func (s *Service) passQueue(ctx context.Context, key store.Key) error {
	for {
		var placed int
		if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			placed, err = s.passTx(tx, key)
			return err
		}); err != nil || placed == 0 {
			return err
		}
	}
}

// passTx starts game sessions for some placements of a queue, and returns for how many.
// While anybody waits who can use a free process, that is at least one, unless another
// transaction works on all of those.
func (s *Service) passTx(tx *store.Tx, key store.Key) (placed int, err error) {
	q, err := queueByKey(tx, key)
	if errors.Is(err, store.ErrNoRows) || err == nil && q.deleted {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	st, err := s.stockOf(tx, q, true)
	if err != nil {
		return 0, err
	}
	claims, err := s.claimTx(tx, q, st.free())
	if err != nil || len(claims) == 0 {
		return 0, err
	}
	a := s.assigner(tx, st)
	if err := a.assign(claims); err != nil {
		return 0, err
	}
	lucky, err := a.begin(claims)
	if err != nil || len(lucky) == 0 {
		return 0, err
	}
	for _, c := range lucky {
		if err := a.note(c); err != nil {
			return 0, err
		}
	}
	countAttempts(tx, lucky)
	return len(lucky), attemptBegins(tx, lucky)
}

// claimTx locks placements that could use the free processes: of those who wait for one
// location the oldest, as many as it has, and of those who could go anywhere the oldest, as
// many as there are in all.
func (s *Service) claimTx(tx *store.Tx, q queue, free map[string]int) ([]*claim, error) {
	var keys []int64
	total := 0
	add := func(location string, n int) error {
		list, err := waitingFor(tx, q.key, location, min(n, mostClaims))
		for _, k := range list {
			if !slices.Contains(keys, int64(k)) {
				keys = append(keys, int64(k))
			}
		}
		return err
	}
	for location, n := range free {
		total += n
		if err := add(location, n); err != nil {
			return nil, err
		}
	}
	if total == 0 {
		return nil, nil
	}
	if err := add(anywhere, total); err != nil || len(keys) == 0 {
		return nil, err
	}
	slices.Sort(keys)
	list, err := claimWaiting(tx, keys[:min(len(keys), mostClaims)])
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return claimsOf(tx, list)
}

// claimsOf reads what is needed to find placements a home.
func claimsOf(tx *store.Tx, list []placement) ([]*claim, error) {
	keys := make([]int64, len(list))
	for i, p := range list {
		keys[i] = int64(p.key)
	}
	texts, err := textsOf(tx, keys)
	if err != nil {
		return nil, err
	}
	claims := make([]*claim, len(list))
	for i := range list {
		p, t := &list[i], texts[list[i].key]
		claims[i] = &claim{placement: p, asked: t.request, wish: t.wish(*p, tx.NowMs()), trace: t.trace}
	}
	slices.SortFunc(claims, func(x, y *claim) int { return cmp.Compare(x.key, y.key) })
	return claims, nil
}

// stepAt is the instant of a time after the placement's start; nil for none.
func (p *placement) stepAt(after *time.Duration) *int64 {
	if after == nil {
		return nil
	}
	return new(stamp(p.startedAt).Add(*after).UnixMilli())
}
