package agent

import (
	"os"
	"strconv"
	"strings"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// usage measures the machine between two looks.
type usage struct{ busy, all uint64 }

// alive says how much of the machine is in use.
func (u *usage) alive() *hostmsg.Alive {
	m := &hostmsg.Alive{}
	stat, err := os.ReadFile("/proc/stat")
	if err == nil {
		line, _, _ := strings.Cut(string(stat), "\n")
		var busy, all uint64
		for i, f := range strings.Fields(line) {
			n, err := strconv.ParseUint(f, 10, 64)
			if err != nil || i > 8 { // the name; guests are counted in user
				continue
			}
			all += n
			if i != 4 && i != 5 { // idle, iowait
				busy += n
			}
		}
		if all > u.all {
			m.CPU = float64(busy-u.busy) / float64(all-u.all)
		}
		u.busy, u.all = busy, all
	}
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m
	}
	values := map[string]uint64{}
	for line := range strings.Lines(string(info)) {
		name, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			values[name], _ = strconv.ParseUint(f[0], 10, 64)
		}
	}
	m.MemoryTotal = values["MemTotal"] << 10
	m.Memory = m.MemoryTotal - values["MemAvailable"]<<10
	return m
}
