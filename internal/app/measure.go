package app

import (
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/scaling"
	"github.com/matchyard/matchyard/internal/store"
)

// measure is what the locations of a managed fleet look like to its scaling policies: what
// runs there, and who waits for it.
func (r *rooms) measure(tx *store.Tx, f fleet.Fleet) (map[arn.Location]scaling.Sample, error) {
	samples, err := r.samplesTx(tx, f)
	if err != nil {
		return nil, err
	}
	depths, err := r.placements.DepthTx(tx, f)
	if err != nil {
		return nil, err
	}
	for at, s := range samples {
		if s.QueueDepth = depths[at].Waiting; s.QueueDepth > 0 {
			s.OldestWait = tx.Now.Sub(depths[at].Oldest)
		}
		samples[at] = s
	}
	return samples, nil
}

// samplesTx is what runs in the locations of a fleet, of which each room knows a part. Active
// game sessions are those with the status ACTIVE (hosting.md 7); a process whose game session
// is over counts as occupied until it ends or is free again.
func (r *rooms) samplesTx(tx *store.Tx, f fleet.Fleet) (map[arn.Location]scaling.Sample, error) {
	loads, err := r.computes.LoadTx(tx, f)
	if err != nil {
		return nil, err
	}
	places, err := r.fleets.PlacesTx(tx, f)
	if err != nil {
		return nil, err
	}
	samples := map[arn.Location]scaling.Sample{}
	for _, p := range places {
		at := arn.Location(*p.Location)
		instances, err := r.hosts.InstancesTx(tx, f.ID, at)
		if err != nil {
			return nil, err
		}
		counts, err := r.sessions.CountTx(tx, f.ID, at)
		if err != nil {
			return nil, err
		}
		l := loads[at]
		samples[at] = scaling.Sample{
			Pending: instances.Pending, ActiveInstances: instances.Active, IdleInstances: instances.Idle,
			Free: l.Free, Unhealthy: l.Unhealthy, Activating: l.Activating, Active: counts.GameSessions, Ending: max(0, l.Active-counts.GameSessions),
			Activatable: l.Activatable, Players: counts.Players, Slots: counts.MaxPlayers, PerInstance: perInstance(f),
		}
	}
	return samples, nil
}

// perInstance is how many game sessions an instance of a fleet can host at a time.
func perInstance(f fleet.Fleet) (n int) {
	if f.Runtime == nil {
		return 1
	}
	for _, p := range f.Runtime.ServerProcesses {
		n += int(*p.ConcurrentExecutions)
	}
	return n
}
