package fleet

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Speed is how long at least a managed fleet stays in each state of its creation and
// deletion, however fast its hosts are. The zero value is Instant.
type Speed struct {
	each      time.Duration
	realistic bool
}

// Instant shows each state as soon as the hosts have reached it.
var Instant = Speed{}

// Realistic takes about as long as AWS does: twenty minutes to ACTIVE.
var Realistic = Speed{realistic: true}

// Fixed stays in each state for d.
func Fixed(d time.Duration) Speed { return Speed{each: d} }

// ParseSpeed reads a setting: "instant", "realistic", or the time for each state ("5s"). ""
// is "instant".
func ParseSpeed(text string) (Speed, error) {
	switch text {
	case "", "instant":
		return Instant, nil
	case "realistic":
		return Realistic, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return Speed{}, fmt.Errorf("fleet-speed: %q is not instant, realistic, or a duration such as 5s", text)
	}
	return Fixed(d), nil
}

// realisticTimes add up to the 1,100 to 1,800 seconds that AWS's creations take
// (ecosystem.md 3.2).
var realisticTimes = map[types.FleetStatus]time.Duration{
	types.FleetStatusNew:         time.Minute,
	types.FleetStatusDownloading: 3 * time.Minute,
	types.FleetStatusValidating:  3 * time.Minute,
	types.FleetStatusBuilding:    8 * time.Minute,
	types.FleetStatusActivating:  5 * time.Minute,
	types.FleetStatusDeleting:    4 * time.Minute,
}

// lasts is how long at least a state that others follow on their own is shown.
func (s Speed) lasts(status types.FleetStatus) time.Duration {
	most, passing := realisticTimes[status]
	switch {
	case !passing:
		return 0
	case s.realistic:
		return most
	default:
		return s.each
	}
}
