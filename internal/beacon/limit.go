package beacon

import (
	"cmp"
	"hash/maphash"
	"net/netip"
)

// limits are those of addresses, of networks and of all.
type limits struct {
	address, network limiter
	most             int // of all; less than zero: no limit
	all              counter
}

// set takes the limits of o, with their defaults.
func (l *limits) set(o Options) {
	seed := maphash.MakeSeed()
	l.address.most, l.address.seed = cmp.Or(o.PerSecond, 20), seed
	l.network.most, l.network.seed = cmp.Or(o.PerNetwork, 10*l.address.most), seed
	l.most = cmp.Or(o.Total, 50_000)
}

// verdict is what becomes of a datagram.
type verdict int

const (
	allowed verdict = iota
	tooFast
	tooBusy
)

// allow counts a datagram. What an address has too much of does not count for its network,
// nor what that has too much of for all: who floods takes only their own share.
func (l *limits) allow(from netip.Addr, second uint32) verdict {
	own, wide := 32, 24
	if from.Is6() {
		own, wide = 64, 48
	}
	switch {
	case !l.address.allow(from, own, second), !l.network.allow(from, wide, second):
		return tooFast
	case l.most >= 0 && int(l.all.count(second)) > l.most:
		return tooBusy
	}
	return allowed
}

// buckets are the counters of each row of a limiter.
const buckets = 1 << 16

// limiter counts the datagrams of prefixes in a second, in fixed memory: two rows of
// counters, of which a prefix has one each. The lower one counts, so that it suffers from
// others only where two of them meet it.
type limiter struct {
	most int // less than zero: no limit
	seed maphash.Seed
	rows [2][buckets]counter
}

// counter counts in one second, and begins again in another.
type counter struct{ second, n uint32 }

func (l *limiter) allow(from netip.Addr, bits int, second uint32) bool {
	if l.most < 0 {
		return true
	}
	if p, err := from.Prefix(bits); err == nil {
		from = p.Addr()
	}
	sum := maphash.Comparable(l.seed, from)
	a, b := &l.rows[0][sum%buckets], &l.rows[1][sum>>32%buckets]
	return int(min(a.count(second), b.count(second))) <= l.most
}

func (c *counter) count(second uint32) uint32 {
	if c.second != second {
		c.second, c.n = second, 0
	}
	c.n++
	return c.n
}
