package webhook

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Addresses that belong to nobody on the Internet, besides those that netip knows, so that
// an event sent there reaches something on our own network, or nothing.
var refusedPrefixes = prefixes(
	"0.0.0.0/8",       // this network
	"100.64.0.0/10",   // shared by providers; some clouds' metadata is there
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"240.0.0.0/4",     // reserved, and broadcast
	"2001::/23",       // protocol assignments, Teredo among them
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4, which wraps an IPv4 address
	"3fff::/20",       // documentation
	"fec0::/10",       // site-local of old
)

// IPv6 addresses in use on the Internet are all in here. What is not, IPv4-compatible
// addresses and NAT64 among it, is refused.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// public tells whether an address is one on the Internet. An IPv4 address inside an IPv6
// one counts as what it is.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.Zone() != "" {
		return false
	}
	if a.Is6() && !globalIPv6.Contains(a) {
		return false
	}
	for _, p := range refusedPrefixes {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// errRefused is the error of a connection that may not be made.
type errRefused struct{ address string }

func (e errRefused) Error() string {
	return fmt.Sprintf("%s is not an address on the Internet, and the sink has no allow-private", e.address)
}

// guard is a net.Dialer's Control: it sees the very address that is about to be dialled,
// after names have been looked up, so no answer of a name server gets around it.
func guard(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !public(ap.Addr()) {
		return errRefused{address}
	}
	return nil
}
