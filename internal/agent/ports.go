package agent

import (
	"fmt"
	"net"
	"strconv"
)

// ports hands out the ports of a range. The zero value has none.
type ports struct {
	first, last int
	next        int
	taken       map[int]bool
}

// take is a port nobody has, on UDP and TCP. It is tried, so that other programs' ports are
// passed over; until the game opens it, somebody may still be faster.
func (p *ports) take() (int, error) {
	if p.taken == nil {
		p.taken = map[int]bool{}
	}
	n := p.last - p.first + 1
	for range n {
		port := p.first + p.next%n
		p.next = (p.next + 1) % n
		if !p.taken[port] && isFree(port) {
			p.taken[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free in %d-%d", p.first, p.last)
}

// keep marks a port of an adopted process.
func (p *ports) keep(port int) {
	if p.taken == nil {
		p.taken = map[int]bool{}
	}
	p.taken[port] = true
}

func (p *ports) release(port int) { delete(p.taken, port) }

func isFree(port int) bool {
	address := ":" + strconv.Itoa(port)
	l, err := net.Listen("tcp", address) //nolint:noctx,gosec // closed at once
	if err != nil {
		return false
	}
	_ = l.Close()
	u, err := net.ListenPacket("udp", address) //nolint:noctx // closed at once
	if err != nil {
		return false
	}
	_ = u.Close()
	return true
}
