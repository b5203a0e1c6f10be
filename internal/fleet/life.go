package fleet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// The life of a managed fleet (hosting.md 2.3, 2.5). Each of its locations goes through the
// same states on its own; the home location's state is the fleet's. Hosts tell how far they
// are, and that is shown when the state before it has lasted as long as Speed says: until
// then it waits, in order, as a step.

// ChannelCapacity is notified, with the fleet's id, whenever a managed fleet changed in a
// way that hosts must look at: its capacity, its state, its runtime configuration.
const ChannelCapacity = "capacity"

// creation are the states of a good creation, in order.
var creation = []types.FleetStatus{
	types.FleetStatusNew, types.FleetStatusDownloading, types.FleetStatusValidating,
	types.FleetStatusBuilding, types.FleetStatusActivating, types.FleetStatusActive,
}

// beingMade tells whether a fleet or a location is on its way to ACTIVE.
func beingMade(status types.FleetStatus) bool {
	at := slices.Index(creation, status)
	return at >= 0 && status != types.FleetStatusActive
}

// step is something that hosts told of a location: a state, or else an event.
type step struct {
	key          store.Key // 0 when it did not have to wait yet
	status       types.FleetStatus
	code         types.EventCode
	message, log string
}

// AdvanceTx moves a location of a managed fleet forward to a state of its creation, and
// through all states between; with the home location moves the fleet. It is ignored when the
// location is there already or past it, or is not being made any more, and when there is no
// such location.
func (s *Service) AdvanceTx(tx *store.Tx, id arn.FleetID, at arn.Location, to types.FleetStatus) error {
	goal := slices.Index(creation, to)
	if goal < 0 {
		return fmt.Errorf("fleet %s cannot be advanced to %q", id, to)
	}
	if making, err := s.makingTx(tx, id, at); !making {
		return err
	}
	return s.lifeTx(tx, id, at, func(_ Fleet, p place, waiting []step) (more []step, hurry bool) {
		if !beingMade(p.status) {
			return nil, false
		}
		for _, status := range creation[reached(p, waiting)+1:] {
			if slices.Index(creation, status) <= goal {
				more = append(more, step{status: status})
			}
		}
		return more, false
	})
}

// StepEventTx records an event of a fleet's creation, and what the step said (its log), in
// its place among the states that AdvanceTx was told.
func (s *Service) StepEventTx(tx *store.Tx, id arn.FleetID, code types.EventCode, message, log string) error {
	if making, err := s.makingTx(tx, id, s.homePlace()); !making {
		return err
	}
	return s.lifeTx(tx, id, s.homePlace(), func(_ Fleet, p place, _ []step) ([]step, bool) {
		if !beingMade(p.status) {
			return nil, false
		}
		return []step{{code: code, message: message, log: log}}, false
	})
}

// FailTx ends the creation of a location in ERROR, at once, for the reason that the event
// gives. With the home location fails the fleet; the failure of another leaves the fleet as
// it is. It is ignored when the location has become ACTIVE or is not being made any more.
func (s *Service) FailTx(tx *store.Tx, id arn.FleetID, at arn.Location, code types.EventCode, reason string) error {
	return s.failTx(tx, id, at, code, reason, "")
}

// FailLogTx is FailTx with what the failed step said.
func (s *Service) FailLogTx(tx *store.Tx, id arn.FleetID, at arn.Location, code types.EventCode, reason, log string) error {
	return s.failTx(tx, id, at, code, reason, log)
}

func (s *Service) failTx(tx *store.Tx, id arn.FleetID, at arn.Location, code types.EventCode, reason, log string) error {
	return s.lifeTx(tx, id, at, func(_ Fleet, p place, waiting []step) (more []step, hurry bool) {
		far := reached(p, waiting)
		if !beingMade(p.status) || creation[far] == types.FleetStatusActive {
			return nil, false
		}
		if creation[far] == types.FleetStatusNew {
			more = append(more, step{status: types.FleetStatusDownloading}) // NEW leads nowhere else
		}
		return append(more, step{code: code, message: reason, log: log}, step{status: types.FleetStatusError}), true
	})
}

// GoneTx tells that no instance of a location is left. A location that was DELETING is
// TERMINATED and disappears; when it was the last one of a fleet that was DELETING, so is the
// fleet. Otherwise it is ignored.
func (s *Service) GoneTx(tx *store.Tx, id arn.FleetID, at arn.Location) error {
	return s.lifeTx(tx, id, at, func(_ Fleet, p place, waiting []step) ([]step, bool) {
		if p.status != types.FleetStatusDeleting || len(waiting) > 0 {
			return nil, false
		}
		return []step{{status: types.FleetStatusTerminated}}, false
	})
}

// makingTx tells whether a location is on its way to ACTIVE, without locking anything: what
// has ended cannot begin again. Hosts repeat themselves, and on ACTIVE fleets nobody is to
// wait for that.
func (s *Service) makingTx(tx *store.Tx, id arn.FleetID, at arn.Location) (bool, error) {
	status, err := s.LocationTx(tx, id, at)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return beingMade(status), err
}

// reached is how far the hosts are, as an index into creation, whatever is shown. An unknown
// state has reached the end.
func reached(p place, waiting []step) int {
	far := slices.Index(creation, p.status)
	for _, w := range waiting {
		far = max(far, slices.Index(creation, w.status))
	}
	if far < 0 {
		return len(creation) - 1
	}
	return far
}

// lifeTx asks what is new about a location and takes the steps that may be taken. The rows
// of the fleet are locked before the question.
func (s *Service) lifeTx(tx *store.Tx, id arn.FleetID, at arn.Location, news func(f Fleet, p place, waiting []step) (more []step, hurry bool)) error {
	f, err := byID(tx, id, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil || f.ComputeType != types.ComputeTypeEc2 || f.Status == types.FleetStatusTerminated {
		return err
	}
	p, err := placeTx(tx, f, at, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	waiting, err := stepsTx(tx, f, at)
	if err != nil {
		return err
	}
	more, hurry := news(f, p, waiting)
	if len(waiting)+len(more) == 0 {
		return nil
	}
	return s.goOnTx(tx, &f, &p, append(waiting, more...), hurry)
}

// goOnTx takes steps in order until one has to wait. hurry lets none wait.
func (s *Service) goOnTx(tx *store.Tx, f *Fleet, p *place, steps []step, hurry bool) error {
	var due *int64
	taken := 0
	for _, st := range steps {
		if until := p.since.Add(s.Speed.lasts(p.status)); st.status != "" && !hurry && until.After(tx.Now) {
			due = new(until.UnixMilli())
			break
		}
		if err := s.takeStepTx(tx, f, p, st); err != nil {
			return err
		}
		taken++
		if p.status == types.FleetStatusError || p.status == types.FleetStatusTerminated {
			taken = len(steps) // what is left is of no interest any more
			break
		}
	}
	if err := dropStepsTx(tx, steps[:taken]); err != nil {
		return err
	}
	if err := keepStepsTx(tx, *f, p.location, steps[taken:]); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE fleet_place SET step_at = $3 WHERE fleet = $1 AND location = $2`, f.Key, p.location, due)
	return err
}

func (s *Service) takeStepTx(tx *store.Tx, f *Fleet, p *place, st step) error {
	if st.status == "" {
		return s.eventTx(tx, f.ID, st.code, st.message, st.log)
	}
	if st.status == types.FleetStatusTerminated {
		p.status = st.status
		return s.goneTx(tx, *f, *p)
	}
	if err := s.enterTx(tx, f, p, st.status); err != nil {
		return err
	}
	if st.status == types.FleetStatusActivating && s.isHome(p.location) {
		return s.peerAtCreationTx(tx, f, p)
	}
	return nil
}

// enterTx puts a location into a state and tells so; with the home location the fleet.
func (s *Service) enterTx(tx *store.Tx, f *Fleet, p *place, status types.FleetStatus) error {
	p.status, p.since = status, tx.Now
	if _, err := tx.Exec(`UPDATE fleet_location SET status = $3 WHERE fleet = $1 AND location = $2`, f.Key, p.location, status); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_place SET since = $3 WHERE fleet = $1 AND location = $2`, f.Key, p.location, tx.NowMs()); err != nil {
		return err
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	if !s.isHome(p.location) {
		return s.placeEventTx(tx, f.ID, p.location, status)
	}
	f.Status = status
	if _, err := tx.Exec(`UPDATE fleet SET status = $2, since = $3 WHERE key = $1`, f.Key, status, tx.NowMs()); err != nil {
		return err
	}
	return s.stateEventTx(tx, f.ID, status)
}

// placeEvents are the codes by which the states of a remote location are told. The three
// states of AWS's workflow that have no code of their own are the location's creation.
var placeEvents = map[types.FleetStatus]types.EventCode{
	types.FleetStatusNew:         types.EventCodeLocationStatePending,
	types.FleetStatusDownloading: types.EventCodeLocationStateCreating,
	types.FleetStatusValidating:  types.EventCodeLocationStateCreating,
	types.FleetStatusBuilding:    types.EventCodeLocationStateCreated,
	types.FleetStatusActivating:  types.EventCodeLocationStateActivating,
	types.FleetStatusActive:      types.EventCodeLocationStateActive,
	types.FleetStatusError:       types.EventCodeLocationStateError,
	types.FleetStatusDeleting:    types.EventCodeLocationStateDeleting,
	types.FleetStatusTerminated:  types.EventCodeLocationStateDeleted,
}

func (s *Service) placeEventTx(tx *store.Tx, id arn.FleetID, at arn.Location, status types.FleetStatus) error {
	code, told := placeEvents[status]
	if !told {
		return nil
	}
	return s.EventTx(tx, id, code, "Location "+string(at)+" changed state to "+string(status))
}

// goneTx ends a location whose instances are gone, and with the last one its fleet.
func (s *Service) goneTx(tx *store.Tx, f Fleet, p place) error {
	if f.Status != types.FleetStatusDeleting {
		if s.Leaving != nil {
			if err := s.Leaving(tx, f.ID, p.location); err != nil {
				return err
			}
		}
		return s.forgetPlaceTx(tx, f, p.location)
	}
	if _, err := tx.Exec(`UPDATE fleet_location SET status = $3 WHERE fleet = $1 AND location = $2`, f.Key, p.location, types.FleetStatusTerminated); err != nil {
		return err
	}
	var left int
	err := tx.QueryRow(`SELECT count(*) FROM fleet_location WHERE fleet = $1 AND status <> $2`, f.Key, types.FleetStatusTerminated).Scan(&left)
	if err != nil || left > 0 {
		return err
	}
	if s.Deleting != nil {
		if err := s.Deleting(tx, f.ID); err != nil {
			return err
		}
	}
	return s.endTx(tx, f)
}

func (s *Service) forgetPlaceTx(tx *store.Tx, f Fleet, at arn.Location) error {
	for _, table := range []string{"fleet_step", "fleet_place", "fleet_location"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE fleet = $1 AND location = $2`, f.Key, at); err != nil {
			return err
		}
	}
	return s.placeEventTx(tx, f.ID, at, types.FleetStatusTerminated)
}

func (s *Service) homePlace() arn.Location     { return arn.Location(s.Home.Region) }
func (s *Service) isHome(at arn.Location) bool { return at == s.homePlace() }

// deleteTx begins the end of a managed fleet: everything of it is DELETING until its hosts
// have told that no instance is left. Without hosts there is nothing to wait for.
func (s *Service) deleteTx(tx *store.Tx, f Fleet) error {
	if _, err := tx.Exec(`DELETE FROM fleet_step WHERE fleet = $1 AND status <> $2`, f.Key, types.FleetStatusTerminated); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_place SET quiet_at = NULL, since = $2, step_at = NULL WHERE fleet = $1
		AND location IN (SELECT location FROM fleet_location WHERE fleet = $1 AND status <> $3)`,
		f.Key, tx.NowMs(), types.FleetStatusDeleting); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_location SET status = $2 WHERE fleet = $1`, f.Key, types.FleetStatusDeleting); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet SET status = $2, since = $3 WHERE key = $1`, f.Key, types.FleetStatusDeleting, tx.NowMs()); err != nil {
		return err
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	if s.Instances != nil {
		return nil
	}
	places, err := locationsOf(tx, f)
	if err != nil {
		return err
	}
	for _, l := range places {
		if err := s.GoneTx(tx, f.ID, arn.Location(*l.Location)); err != nil {
			return err
		}
	}
	return nil
}

// leaveManagedTx begins the end of a location of a managed fleet.
func (s *Service) leaveManagedTx(tx *store.Tx, f Fleet, at arn.Location) error {
	if _, err := tx.Exec(`DELETE FROM fleet_step WHERE fleet = $1 AND location = $2`, f.Key, at); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE fleet_place SET quiet_at = NULL, step_at = NULL, since = $3 WHERE fleet = $1 AND location = $2`, f.Key, at, tx.NowMs()); err != nil {
		return err
	}
	tx.Notify(ChannelCapacity, string(f.ID))
	if s.Instances != nil {
		return nil
	}
	return s.GoneTx(tx, f.ID, at)
}

// place is a location of a managed fleet: its state and its settings.
type place struct {
	location arn.Location
	status   types.FleetStatus
	since    time.Time
	Capacity
	wantedAt time.Time
	quietAt  *int64
}

const placeColumns = `l.location, l.status, p.since, p.desired, p.minimum, p.maximum, p.stopped, p.zero, p.inactivity, p.wanted_at, p.quiet_at
	FROM fleet_location l JOIN fleet_place p ON p.fleet = l.fleet AND p.location = l.location`

// placeTx reads a location; lock is "" or tx.ForUpdate.
func placeTx(tx *store.Tx, f Fleet, at arn.Location, lock string) (place, error) {
	return scanPlace(tx.QueryRow(`SELECT `+placeColumns+` WHERE l.fleet = $1 AND l.location = $2`+lock, f.Key, at))
}

func placesTx(tx *store.Tx, f Fleet) ([]place, error) {
	rows, err := tx.Query(`SELECT `+placeColumns+` WHERE l.fleet = $1 ORDER BY l.key`, f.Key)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var places []place
	for rows.Next() {
		p, err := scanPlace(rows)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, rows.Err()
}

func scanPlace(row store.Scanner, more ...any) (place, error) {
	var p place
	var since, wanted, stopped, inactivity int64
	dest := append([]any{
		&p.location, &p.status, &since, &p.Desired, &p.Min, &p.Max, &stopped, &p.Zero, &inactivity, &wanted, &p.quietAt,
	}, more...)
	if err := row.Scan(dest...); err != nil {
		return place{}, err
	}
	p.since, p.wantedAt = time.UnixMilli(since).UTC(), time.UnixMilli(wanted).UTC()
	p.Stopped, p.Inactivity = stopped != 0, time.Duration(inactivity)*time.Minute
	return p, nil
}

// newPlaceTx gives a new location of a managed fleet its first settings (hosting.md 2.7).
func newPlaceTx(tx *store.Tx, f Fleet, at arn.Location) error {
	_, err := tx.Exec(`INSERT INTO fleet_place (fleet, location, desired, minimum, maximum, stopped, zero, inactivity, wanted_at, since)
		VALUES ($1, $2, 1, 0, 1, 0, '', 0, $3, $3)`, f.Key, at, tx.NowMs())
	return err
}

func stepsTx(tx *store.Tx, f Fleet, at arn.Location) ([]step, error) {
	rows, err := tx.Query(`SELECT key, status, code, message, log FROM fleet_step WHERE fleet = $1 AND location = $2 ORDER BY key`, f.Key, at)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var steps []step
	for rows.Next() {
		var st step
		if err := rows.Scan(&st.key, &st.status, &st.code, &st.message, &st.log); err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, rows.Err()
}

// dropStepsTx forgets steps that were taken.
func dropStepsTx(tx *store.Tx, steps []step) error {
	for _, st := range steps {
		if st.key == 0 {
			continue
		}
		if _, err := tx.Exec(`DELETE FROM fleet_step WHERE key = $1`, st.key); err != nil {
			return err
		}
	}
	return nil
}

// keepStepsTx lets steps wait that do not yet.
func keepStepsTx(tx *store.Tx, f Fleet, at arn.Location, steps []step) error {
	for _, st := range steps {
		if st.key != 0 {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO fleet_step (key, fleet, location, status, code, message, log) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			tx.NewKey(), f.Key, at, st.status, st.code, st.message, st.log); err != nil {
			return err
		}
	}
	return nil
}
