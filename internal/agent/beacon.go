package agent

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/matchyard/matchyard/internal/beacon"
)

// BeaconAuto is, as Config.Beacon, port 7770 of all interfaces, or of loopback where the host
// itself is reached no other way. Where something else has that port there is no beacon.
const BeaconAuto = "auto"

// openBeacon opens the host's ping beacon, if it is to have one, and notes where clients find
// it. It answers until ctx ends. What it counts is told with the telemetry, before that begins.
func (a *agent) openBeacon(ctx context.Context) error {
	listen := a.c.Beacon
	if listen == "" {
		return nil
	}
	if listen == BeaconAuto {
		host := ""
		if ip, err := netip.ParseAddr(a.c.Address); err == nil && ip.IsLoopback() {
			host = a.c.Address
		}
		listen = net.JoinHostPort(host, strconv.Itoa(beacon.Port))
	}
	s, err := beacon.Listen(listen, beacon.Options{Logger: a.log})
	if err != nil && a.c.Beacon == BeaconAuto {
		a.log.Warn("this host has no ping beacon", slog.Any("error", err))
		return nil
	}
	if err != nil {
		return err
	}
	a.beaconAt = a.c.BeaconAddress
	if a.beaconAt == "" {
		a.beaconAt = net.JoinHostPort(cmp.Or(a.c.DNSName, a.c.Address), strconv.Itoa(int(s.Addr().Port())))
	}
	a.log.Info("ping beacon", slog.String("listen", s.Addr().String()), slog.String("clients", a.beaconAt))
	a.watch.Beacon = func() map[string]int64 {
		st := s.Stats()
		return map[string]int64{"answered": st.Answered, "too_large": st.Large, "too_fast": st.Fast, "too_busy": st.Busy, "unfit": st.Unfit}
	}
	a.work.Go(func() {
		if err := s.Run(ctx); err != nil {
			a.log.Error("the ping beacon ended", slog.Any("error", err))
		}
	})
	return nil
}
