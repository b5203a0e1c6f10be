//go:build !linux

package bench

import (
	"net"
	"time"
)

func segmented(*net.UDPConn, int) bool { return false }

func processorTime() time.Duration { return 0 }
