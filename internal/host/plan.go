package host

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

// The scheduler's choices, as functions of what they are made from.

// roomy is a host that takes instances.
type roomy struct {
	key     store.Key
	address string
	dns     *string
	os      string // "linux" or "windows"
	free    int
	failed  bool // an instance failed to start on it not long ago
}

// fits tells whether a host runs builds for an operating system.
func (h roomy) fits(os types.OperatingSystem) bool {
	return (h.os == "windows") == strings.HasPrefix(string(os), "WINDOWS")
}

// spread gives up to n new instances hosts, one by one: the host with the most room that is
// left, those that failed lately last, and of equals the oldest. The hosts' room is used up
// accordingly.
func spread(hosts []*roomy, n int) []*roomy {
	q := make(byRoom, 0, len(hosts))
	for _, h := range hosts {
		if h.free > 0 {
			q = append(q, h)
		}
	}
	heap.Init(&q)
	var chosen []*roomy
	for len(chosen) < n && len(q) > 0 {
		h := q[0]
		chosen = append(chosen, h)
		if h.free--; h.free == 0 {
			heap.Pop(&q)
		} else {
			heap.Fix(&q, 0)
		}
	}
	return chosen
}

// byRoom is a heap of hosts, the best at the top.
type byRoom []*roomy

func (q byRoom) Len() int      { return len(q) }
func (q byRoom) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q byRoom) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(flag(q[i].failed), flag(q[j].failed)), cmp.Compare(q[j].free, q[i].free), cmp.Compare(q[i].key, q[j].key)) < 0
}
func (q *byRoom) Push(h any) { *q = append(*q, h.(*roomy)) }
func (q *byRoom) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// candidate is an instance that a scale-in may choose.
type candidate struct {
	instance
	hosting   int // game sessions
	protected int // of those, the ones that must not be ended
}

// rank is the order in which instances are given up: what is not ready yet, what is idle,
// what hosts unprotected game sessions, and last what hosts protected ones.
func (c candidate) rank() int {
	switch {
	case c.protected > 0:
		return 3
	case c.hosting > 0:
		return 2
	case c.ready:
		return 1
	}
	return 0
}

// choose picks excess instances that are to end, by rank, then the fewest game sessions, then
// the newest. Those with protected game sessions are not ended: they drain.
func choose(list []candidate, excess int) (ended, drained []candidate) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.protected, b.protected), cmp.Compare(a.hosting, b.hosting), cmp.Compare(b.key, a.key))
	})
	for _, c := range list[:max(0, min(excess, len(list)))] {
		if c.protected > 0 {
			drained = append(drained, c)
		} else {
			ended = append(ended, c)
		}
	}
	return ended, drained
}
