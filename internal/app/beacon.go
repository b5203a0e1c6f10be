package app

import (
	"cmp"
	"net"
	"strconv"

	"github.com/matchyard/matchyard/internal/beacon"
	"github.com/matchyard/matchyard/internal/config"
)

// openBeacon opens the ping beacon of the home region. A development server takes another
// port where the custom one is taken: what ListLocations says is where it is.
func (a *App) openBeacon() (err error) {
	address := a.config.Beacon
	if address == "" && a.config.Dev {
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(beacon.Port))
	}
	if address == "" || address == config.Off {
		return nil
	}
	o := beacon.Options{Logger: a.logger}
	a.beacon, err = beacon.Listen(address, o)
	if err != nil && a.config.Beacon == "" {
		a.beacon, err = beacon.Listen("127.0.0.1:0", o)
	}
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, _, _ = net.SplitHostPort(hostOf(a.config.Advertise))
	}
	port := strconv.Itoa(int(a.beacon.Addr().Port()))
	a.rooms.fleets.Beacon = net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)
	for _, c := range []struct {
		name, help string
		pick       func(beacon.Stats) int64
	}{
		{"received", "Datagrams that the ping beacon received.", func(s beacon.Stats) int64 { return s.Received }},
		{"answered", "Datagrams that the ping beacon answered.", func(s beacon.Stats) int64 { return s.Answered }},
		{"too_large", "Datagrams not answered for their size.", func(s beacon.Stats) int64 { return s.Large }},
		{"too_fast", "Datagrams not answered since their address or network sent too many.", func(s beacon.Stats) int64 { return s.Fast }},
		{"too_busy", "Datagrams not answered since all together sent too many.", func(s beacon.Stats) int64 { return s.Busy }},
		{"unfit", "Datagrams not answered since they came from a service's port, were broadcast or had no hop left.", func(s beacon.Stats) int64 { return s.Unfit }},
	} {
		a.metrics.Counter("matchyard_beacon_"+c.name+"_total", c.help, func() float64 { return float64(c.pick(a.beacon.Stats())) })
	}
	return nil
}
