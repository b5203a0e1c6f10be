package beacon

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"testing"
)

// Spoofed addresses without end take no memory, and an honest one still gets its answer.
func TestTheLimiterUnderSpoofedAddresses(t *testing.T) {
	l := &limiter{most: 20, seed: maphash.MakeSeed()}
	const spoofed = 300_000
	for i := range spoofed {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], uint32(i)+1<<24)
		l.allow(netip.AddrFrom4(ip), 1)
	}
	refused := 0
	for i := range 1000 {
		if !l.allow(netip.AddrFrom4([4]byte{200, 1, byte(i >> 8), byte(i)}), 1) {
			refused++
		}
	}
	if refused > 10 {
		t.Errorf("after %d addresses in one second, %d of 1000 honest ones were refused", spoofed, refused)
	}
	// One network of IPv6 is one sender, however many addresses it has.
	answered := 0
	for i := range 1000 {
		var ip [16]byte
		copy(ip[:], "\x20\x01\x0d\xb8")
		binary.BigEndian.PutUint32(ip[12:], uint32(i))
		if l.allow(netip.AddrFrom16(ip), 2) {
			answered++
		}
	}
	if answered > 20 {
		t.Errorf("a network of IPv6 got %d answers in a second", answered)
	}
}
