package beacon

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// Spoofed addresses without end take no memory, and an honest one still gets its answer.
func TestTheLimitsUnderSpoofedAddresses(t *testing.T) {
	var l limits
	l.set(Options{Total: -1})
	const spoofed = 300_000
	next := uint32(1 << 24)
	if n := testing.AllocsPerRun(spoofed, func() {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], next)
		next += 977 // of many networks
		l.allow(netip.AddrFrom4(ip), 1)
	}); n != 0 {
		t.Errorf("an address takes %v pieces of memory", n)
	}
	refused := 0
	for i := range 1000 {
		if l.allow(netip.AddrFrom4([4]byte{200, byte(i >> 8), byte(i), 1}), 1) != allowed {
			refused++
		}
	}
	if refused > 10 {
		t.Errorf("after %d addresses in one second, %d of 1000 honest ones were refused", spoofed, refused)
	}
}

// answered is how many of n datagrams are, of which next makes the addresses, in one second.
func answered(l *limits, second uint32, n int, next func(i int) netip.Addr) (k int) {
	for i := range n {
		if l.allow(next(i), second) == allowed {
			k++
		}
	}
	return k
}

func TestLimitsOfAddressesNetworksAndAll(t *testing.T) {
	var l limits
	l.set(Options{})
	v4 := func(a, b, c, d int) netip.Addr { return netip.AddrFrom4([4]byte{byte(a), byte(b), byte(c), byte(d)}) }
	v6 := func(network, subnet, host int) netip.Addr {
		ip := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		ip[5], ip[7] = byte(network), byte(subnet)
		binary.BigEndian.PutUint32(ip[12:], uint32(host))
		return netip.AddrFrom16(ip)
	}
	for _, c := range []struct {
		what string
		want int
		next func(i int) netip.Addr
	}{
		{"an address", 20, func(int) netip.Addr { return v4(10, 0, 0, 1) }},
		{"a network of 24 bits, of which an address had its share", 180, func(i int) netip.Addr { return v4(10, 0, 0, 2+i%250) }},
		{"the next network", 200, func(i int) netip.Addr { return v4(10, 0, 1, i%250) }},
		{"64 bits of IPv6, whatever the other half is", 20, func(i int) netip.Addr { return v6(1, 1, i) }},
		{"48 bits of IPv6", 180, func(i int) netip.Addr { return v6(1, 2+i%250, i) }},
		{"other 48 bits", 200, func(i int) netip.Addr { return v6(2, i%250, i) }},
	} {
		if got := answered(&l, 7, 5000, c.next); got != c.want {
			t.Errorf("%s: %d answers in a second, want %d", c.what, got, c.want)
		}
	}
	if got := answered(&l, 8, 5000, func(int) netip.Addr { return v4(10, 0, 0, 1) }); got != 20 {
		t.Errorf("in the next second %d answers, want 20", got)
	}
	l.set(Options{Total: 1000})
	if got := answered(&l, 9, 5000, func(i int) netip.Addr { return v4(11, i>>8, i, 1) }); got != 1000 {
		t.Errorf("all together got %d answers in a second, want 1000", got)
	}
	if v := l.allow(v4(12, 0, 0, 1), 9); v != tooBusy {
		t.Errorf("one more: %v", v)
	}
	// What was refused to one does not count for others.
	if got := answered(&l, 10, 100_000, func(int) netip.Addr { return v4(10, 0, 0, 1) }); got != 20 {
		t.Errorf("a flood got %d answers", got)
	}
	if got := answered(&l, 10, 2000, func(i int) netip.Addr { return v4(11, i>>8, i, 1) }); got != 980 {
		t.Errorf("after the flood of one, others got %d answers, want 980", got)
	}
	l.set(Options{PerSecond: -1, PerNetwork: -1, Total: -1})
	if got := answered(&l, 11, 100_000, func(int) netip.Addr { return v4(10, 0, 0, 1) }); got != 100_000 {
		t.Errorf("without limits %d answers", got)
	}
}
