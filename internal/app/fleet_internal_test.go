package app

import (
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/fleet"
)

// TestSettingsOfManagedFleets: what an operator says reaches the room, and 0 is for ever.
func TestSettingsOfManagedFleets(t *testing.T) {
	c := config.Default()
	if f := &wire(nil, c, nil).fleets; f.Speed != fleet.Instant || f.ErrorLife != 24*time.Hour || f.Expiry != 0 || f.Quotas.ManagedFleets != 20 {
		t.Errorf("by default: %v, %v, %v, %d fleets", f.Speed, f.ErrorLife, f.Expiry, f.Quotas.ManagedFleets)
	}
	c.FleetSpeed, c.FleetErrorLife, c.FleetExpiry, c.ManagedFleets = "5s", 0, time.Hour, 3
	f := &wire(nil, c, nil).fleets
	if f.Speed != fleet.Fixed(5*time.Second) || f.ErrorLife >= 0 || f.Expiry != time.Hour || f.Quotas.ManagedFleets != 3 {
		t.Errorf("as set: %v, %v, %v, %d fleets", f.Speed, f.ErrorLife, f.Expiry, f.Quotas.ManagedFleets)
	}
	if f.LastUse == nil || f.Builds == nil {
		t.Error("managed fleets are not wired")
	}
}
