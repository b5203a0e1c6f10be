package main

import (
	"net"
	"os"
	"strings"
)

// notify tells systemd what the program does, READY=1 or STOPPING=1, when systemd asked for
// it (a unit of Type=notify, sd_notify(3)). Failing to is no reason not to run.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte(state))
	_ = conn.Close()
}
