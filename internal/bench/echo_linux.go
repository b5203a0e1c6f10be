package bench

import (
	"net"
	"syscall"
	"time"
)

// segmented has the kernel cut what is written to a socket into datagrams of a size; false
// when it does not know how (UDP_SEGMENT, Linux 4.18).
func segmented(conn *net.UDPConn, size int) bool {
	const levelUDP, segment = 17, 103
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), levelUDP, segment, size) })
	return err == nil && failed == nil
}

// processorTime is what this process has used of processors, the kernel's part too.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
