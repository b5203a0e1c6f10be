package beacon

import (
	"encoding/binary"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// controlSize is room for what the kernel tells of a datagram.
const controlSize = 128

// watchHops has the kernel tell with each datagram how many hops it had left and, where that
// may differ (which costs it a look at its routes), to which address it went. A socket of both
// families is told of both.
func watchHops(conn *net.UDPConn, addresses bool) {
	four, six := ipv4.FlagTTL, ipv6.FlagHopLimit
	if addresses {
		four, six = four|ipv4.FlagDst, six|ipv6.FlagDst
	}
	_ = ipv4.NewPacketConn(conn).SetControlMessage(four, true)
	_ = ipv6.NewPacketConn(conn).SetControlMessage(six, true)
}

// turn makes what the kernel told of a datagram what it is told of the answer: one hop less,
// and from the address that was asked. It is false when the datagram had no hop left, or went
// to others as well.
func turn(control []byte) bool {
	for len(control) >= syscall.SizeofCmsghdr {
		h := (*syscall.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < syscall.CmsgLen(0) || size > len(control) {
			return false
		}
		data := control[syscall.CmsgLen(0):size]
		switch {
		case len(data) >= 4 && (h.Level == syscall.IPPROTO_IP && h.Type == syscall.IP_TTL || h.Level == syscall.IPPROTO_IPV6 && h.Type == syscall.IPV6_HOPLIMIT):
			hops := binary.NativeEndian.Uint32(data)
			if hops <= 1 {
				return false
			}
			binary.NativeEndian.PutUint32(data, hops-1)
		case h.Level == syscall.IPPROTO_IP && h.Type == syscall.IP_PKTINFO && len(data) >= syscall.SizeofInet4Pktinfo:
			info := (*syscall.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			if info.Spec_dst != info.Addr { // a broadcast, or a multicast
				return false
			}
			info.Ifindex = 0 // the way back may be another
		case h.Level == syscall.IPPROTO_IPV6 && h.Type == syscall.IPV6_PKTINFO && len(data) >= syscall.SizeofInet6Pktinfo:
			(*syscall.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Ifindex = 0
		}
		control = control[min(syscall.CmsgSpace(len(data)), len(control)):]
	}
	return true
}
