package host

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Pass brings what is desired of instances in line with what fleets want: new ones on hosts
// with room, fewer by scale-in, other runtime configurations, and the end of those whose
// fleet or location goes. It looks first and writes only when there is something to do, in
// transactions of limited size. It may run on several nodes at once.
func (s *Service) Pass(ctx context.Context) error {
	for more := true; more; {
		due := false
		err := s.DB.Read(ctx, func(tx *store.Tx) error {
			d, err := s.lookTx(tx)
			due = err == nil && len(d.due) > 0
			return err
		})
		if err != nil || !due {
			return err
		}
		err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			more, err = s.decideTx(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// view is what a pass decides from.
type view struct {
	wants  []fleet.Want
	counts map[place]tally
	notes  map[place]note
	rooms  map[arn.Location][]*roomy
	due    []fleet.Want
}

// tally counts the instances of a place.
type tally struct {
	run, drain int // on hosts that are not being drained
	leaving    int // RUN or DRAIN on a host that is
	ending     int // STOP or KILL
	lost       int // on hosts that are lost: given up
}

func (t tally) all() int { return t.run + t.drain + t.leaving + t.ending + t.lost }

// note is a row of table instance_place.
type note struct {
	made     bool
	first    store.Key
	strikes  int
	short    int
	shortAt  *int64
	failures int
	retryAt  int64
	runtime  string
}

// lookTx reads the whole, and which places have something to be done.
func (s *Service) lookTx(tx *store.Tx) (v view, err error) {
	if v.wants, err = s.Fleets.WantsTx(tx); err != nil {
		return v, err
	}
	if v.counts, err = tallies(tx); err != nil {
		return v, err
	}
	if v.notes, err = notesTx(tx); err != nil {
		return v, err
	}
	if v.rooms, err = s.roomsTx(tx); err != nil {
		return v, err
	}
	known := map[place]bool{}
	for _, w := range v.wants {
		p := place{w.Fleet.Key, w.Location}
		known[p] = true
		if s.isDue(tx, v, w) {
			v.due = append(v.due, w)
		}
	}
	for p, t := range v.counts { // what no fleet wants any more
		if !known[p] && t.run+t.drain+t.leaving > 0 {
			v.due = append(v.due, fleet.Want{Fleet: fleet.Fleet{Key: p.fleet}, Location: p.location, Stopping: true})
		}
	}
	return v, nil
}

// isDue tells whether a pass would change something for a want.
func (s *Service) isDue(tx *store.Tx, v view, w fleet.Want) bool {
	p := place{w.Fleet.Key, w.Location}
	t, n := v.counts[p], v.notes[p]
	live := t.run + t.drain
	switch {
	case w.Stopping:
		return live+t.leaving+t.lost > 0 || t.all() == 0
	case t.leaving > 0, t.drain > 0, live > int(w.Desired):
		return true
	case live+t.ending > 0 && n.runtime != printOf(w.Fleet):
		return true
	}
	need := int(w.Desired) - live
	if need <= 0 {
		return n.short != 0
	}
	if n.retryAt > tx.NowMs() {
		return false
	}
	for _, h := range v.rooms[w.Location] {
		if h.free > 0 && h.fits(w.Fleet.OS) {
			return true
		}
	}
	return n.short != need || s.hopeless(tx, w, n)
}

// hopeless tells whether a new place has waited for room long enough.
func (s *Service) hopeless(tx *store.Tx, w fleet.Want, n note) bool {
	return n.shortAt != nil && !n.made && beingMade(w.Status) && tx.NowMs() >= *n.shortAt+s.Config.orDefaults().RoomWait.Milliseconds()
}

// beingMade tells whether a place is on its way to ACTIVE.
func beingMade(status types.FleetStatus) bool {
	switch status {
	case types.FleetStatusNew, types.FleetStatusDownloading, types.FleetStatusValidating, types.FleetStatusBuilding, types.FleetStatusActivating:
		return true
	default:
		return false
	}
}

// decideTx is one transaction of a pass; more is set when there may be more to do.
func (s *Service) decideTx(tx *store.Tx) (more bool, err error) {
	if tx.Dialect() == store.Postgres { // one decides at a time
		if _, err := tx.Exec(`UPDATE instance_pass SET n = n + 1 WHERE one = 1`); err != nil {
			return false, err
		}
	}
	v, err := s.lookTx(tx)
	if err != nil {
		return false, err
	}
	budget := s.Config.orDefaults().MostInstances
	for _, w := range v.due {
		if budget <= 0 {
			return true, nil
		}
		used, err := s.placeTx(tx, v, w, budget)
		if err != nil {
			return false, fmt.Errorf("instances of fleet %s in %s: %w", w.Fleet.ID, w.Location, err)
		}
		budget -= used
	}
	return budget <= 0, nil
}

// placeTx does what is due for one want, and tells how many instances it changed.
func (s *Service) placeTx(tx *store.Tx, v view, w fleet.Want, budget int) (used int, err error) {
	p := place{w.Fleet.Key, w.Location}
	t, n := v.counts[p], v.notes[p]
	if w.Stopping {
		return s.clearTx(tx, p, w, t, budget)
	}
	if live := t.run + t.drain; t.leaving > 0 || t.drain > 0 || live > int(w.Desired) {
		if used, err = s.shrinkTx(tx, p, int(w.Desired), budget); err != nil {
			return used, err
		}
	}
	if text := printOf(w.Fleet); n.runtime != text {
		if err := s.refreshTx(tx, p, w.Fleet.ID, text); err != nil {
			return used, err
		}
	}
	live := t.run + t.drain
	if need := int(w.Desired) - live; need > 0 && n.retryAt <= tx.NowMs() {
		added, err := s.growTx(tx, v, w, n, need, min(need, budget-used))
		return used + added, err
	} else if need <= 0 && n.short != 0 {
		return used, setShortTx(tx, p, w.Fleet.ID, 0, nil)
	}
	return used, nil
}

// growTx makes up to n of the instances that are needed. What finds no room is noted, so that
// it counts as pending; a new fleet waits for it for a while only.
func (s *Service) growTx(tx *store.Tx, v view, w fleet.Want, was note, need, n int) (added int, err error) {
	p := place{w.Fleet.Key, w.Location}
	var fitting []*roomy
	for _, h := range v.rooms[w.Location] {
		if h.fits(w.Fleet.OS) {
			fitting = append(fitting, h)
		}
	}
	var list []newInstance
	for _, h := range spread(fitting, n) {
		list = append(list, newInstance{fleet: w.Fleet, location: w.Location, host: *h})
	}
	keys, err := s.addTx(tx, list)
	if err != nil {
		return 0, err
	}
	short, since := 0, (*int64)(nil)
	if len(list) < n {
		if short, since = need-len(list), was.shortAt; since == nil {
			since = new(tx.NowMs())
		}
	}
	if err := setShortTx(tx, p, w.Fleet.ID, short, since); err != nil {
		return 0, err
	}
	if !was.made && len(keys) > 0 {
		if err := s.beginTx(tx, p, w, keys[0]); err != nil {
			return 0, err
		}
	}
	if was.shortAt = since; len(list) == 0 && s.hopeless(tx, w, was) {
		return 0, s.Fleets.FailTx(tx, w.Fleet.ID, w.Location, types.EventCodeFleetActivationFailedNoInstances, s.noRoom(v, w))
	}
	return len(list), nil
}

// noRoom says why a place gets no instance.
func (s *Service) noRoom(v view, w fleet.Want) string {
	wait := s.Config.orDefaults().RoomWait
	hosts, fit := len(v.rooms[w.Location]), 0
	for _, h := range v.rooms[w.Location] {
		if h.fits(w.Fleet.OS) {
			fit++
		}
	}
	switch {
	case hosts == 0:
		return fmt.Sprintf("No host that could run an instance is connected in %s, for %s", w.Location, wait)
	case fit == 0:
		return fmt.Sprintf("None of the %d hosts in %s runs builds for %s", hosts, w.Location, w.Fleet.OS)
	}
	return fmt.Sprintf("All %d hosts in %s are full, for %s", fit, w.Location, wait)
}

// beginTx makes an instance the one whose steps are those of its new place.
func (s *Service) beginTx(tx *store.Tx, p place, w fleet.Want, first store.Key) error {
	if !beingMade(w.Status) {
		_, err := tx.Exec(`UPDATE instance_place SET made = 1 WHERE fleet = $1 AND location = $2`, p.fleet, p.location)
		return err
	}
	if _, err := tx.Exec(`UPDATE instance_place SET first = $3, strikes = 0 WHERE fleet = $1 AND location = $2`, p.fleet, p.location, first); err != nil {
		return err
	}
	return s.Fleets.AdvanceTx(tx, w.Fleet.ID, w.Location, types.FleetStatusDownloading)
}

// shrinkTx ends instances until want are left, and takes instances off hosts that are being
// drained.
func (s *Service) shrinkTx(tx *store.Tx, p place, want, budget int) (used int, err error) {
	staying, leaving, err := s.candidatesTx(tx, p)
	if err != nil {
		return 0, err
	}
	ended, drained := choose(staying, len(staying)-want)
	for _, c := range leaving {
		if c.hosting == 0 {
			ended = append(ended, c)
		} else {
			drained = append(drained, c)
		}
	}
	if err := s.drainTx(tx, staying, leaving, drained); err != nil {
		return 0, err
	}
	for _, c := range ended[:min(len(ended), budget)] {
		if err := s.stopTx(tx, c.instance); err != nil {
			return 0, err
		}
		used++
	}
	return used, nil
}

// drainTx makes those drain that shall, and opens again those that need not any more.
func (s *Service) drainTx(tx *store.Tx, staying, leaving, drained []candidate) error {
	shall := map[store.Key]bool{}
	for _, c := range drained {
		shall[c.key] = true
	}
	var closeKeys, closeComputes, openKeys, openComputes []store.Key
	for _, c := range append(slices.Clip(staying), leaving...) {
		switch {
		case shall[c.key] && c.desired == run:
			closeKeys, closeComputes = append(closeKeys, c.key), append(closeComputes, c.compute)
		case !shall[c.key] && c.desired == drain:
			openKeys, openComputes = append(openKeys, c.key), append(openComputes, c.compute)
		}
	}
	if len(closeKeys) > 0 {
		if err := errors.Join(s.Computes.CordonTx(tx, closeComputes, compute.Closed), setDesiredTx(tx, closeKeys, drain)); err != nil {
			return err
		}
	}
	if len(openKeys) > 0 {
		return errors.Join(s.Computes.CordonTx(tx, openComputes, compute.Open), setDesiredTx(tx, openKeys, run))
	}
	return nil
}

// candidatesTx are the instances of a place that are wanted, with what they host: those that
// may stay where they are, and those on hosts that are being drained. Their computes stay
// locked, so that they get no game session meanwhile.
func (s *Service) candidatesTx(tx *store.Tx, p place) (staying, leaving []candidate, err error) {
	list, err := inPlace(tx, p)
	if err != nil {
		return nil, nil, err
	}
	off, err := drainingHosts(tx)
	if err != nil {
		return nil, nil, err
	}
	var computes []store.Key
	for _, i := range list {
		if !i.ending() {
			computes = append(computes, i.compute)
		}
	}
	hosting, err := s.Computes.HostingTx(tx, computes)
	if err != nil {
		return nil, nil, err
	}
	protected, err := s.Sessions.ProtectedTx(tx, p.fleet, p.location)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range list {
		if i.ending() || i.actual == lost {
			continue
		}
		c := candidate{instance: i, hosting: hosting[i.compute], protected: protected[arn.ComputeName(i.id)]}
		if off[i.host] {
			leaving = append(leaving, c)
		} else {
			staying = append(staying, c)
		}
	}
	return staying, leaving, nil
}

// clearTx ends all instances of a place that goes, protected game sessions or not, and says
// so when none is left.
func (s *Service) clearTx(tx *store.Tx, p place, w fleet.Want, t tally, budget int) (used int, err error) {
	if t.all() == 0 {
		if _, err := tx.Exec(`DELETE FROM instance_place WHERE fleet = $1 AND location = $2`, p.fleet, p.location); err != nil {
			return 0, err
		}
		return 0, s.Fleets.GoneTx(tx, w.Fleet.ID, w.Location)
	}
	list, err := inPlace(tx, p)
	if err != nil {
		return 0, err
	}
	for _, i := range list {
		if used >= budget {
			break
		}
		if i.actual == lost { // what it still hosts has to end too
			if err := s.Computes.StopInstanceTx(tx, i.compute); err != nil {
				return used, err
			}
			continue
		}
		if i.ending() {
			continue
		}
		if err := s.stopTx(tx, i); err != nil {
			return used, err
		}
		used++
	}
	return used, nil
}

// refreshTx sends the instances of a place their fleet's runtime configuration again.
func (s *Service) refreshTx(tx *store.Tx, p place, id arn.FleetID, text string) error {
	hosts, err := store.Set[store.Key](tx.Query(`UPDATE instance SET rev = rev + 1 WHERE fleet = $1 AND location = $2 AND ended_at IS NULL
		AND desired IN ('RUN', 'DRAIN') AND told > 0 RETURNING host`, p.fleet, p.location))
	if err != nil {
		return err
	}
	notify(tx, hosts)
	_, err = tx.Exec(`INSERT INTO instance_place (fleet, fleet_id, location, made, first, strikes, short, failures, retry_at, runtime)
		VALUES ($1, $2, $3, 0, 0, 0, 0, 0, 0, $4) ON CONFLICT (fleet, location) DO UPDATE SET runtime = $4`, p.fleet, id, p.location, text)
	return err
}

func setShortTx(tx *store.Tx, p place, id arn.FleetID, short int, since *int64) error {
	_, err := tx.Exec(`INSERT INTO instance_place (fleet, fleet_id, location, made, first, strikes, short, short_at, failures, retry_at, runtime)
		VALUES ($1, $2, $3, 0, 0, 0, $4, $5, 0, 0, '') ON CONFLICT (fleet, location) DO UPDATE SET short = $4, short_at = $5`,
		p.fleet, id, p.location, short, since)
	return err
}

// printOf is a fingerprint of what hosts know of a fleet and may change.
func printOf(f fleet.Fleet) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%+v", runtimeOf(f))
	return fmt.Sprintf("%016x", h.Sum64())
}

// tallies counts the instances of all places.
func tallies(tx *store.Tx) (map[place]tally, error) {
	rows, err := tx.Query(`SELECT i.fleet, i.location, i.desired, CASE WHEN i.actual = 'LOST' THEN 1 ELSE 0 END, h.draining, count(*)
		FROM instance i JOIN host h ON h.key = i.host WHERE i.ended_at IS NULL GROUP BY i.fleet, i.location, i.desired, 4, h.draining`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[place]tally{}
	for rows.Next() {
		var p place
		var d desired
		var isLost, off int64
		var n int
		if err := rows.Scan(&p.fleet, &p.location, &d, &isLost, &off, &n); err != nil {
			return nil, err
		}
		t := all[p]
		switch {
		case isLost == 1:
			t.lost += n
		case d == stop, d == kill:
			t.ending += n
		case off == 1:
			t.leaving += n
		case d == drain:
			t.drain += n
		default:
			t.run += n
		}
		all[p] = t
	}
	return all, rows.Err()
}

func notesTx(tx *store.Tx) (map[place]note, error) {
	rows, err := tx.Query(`SELECT fleet, location, made, first, strikes, short, short_at, failures, retry_at, runtime FROM instance_place`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[place]note{}
	for rows.Next() {
		var p place
		var n note
		var made int64
		if err := rows.Scan(&p.fleet, &p.location, &made, &n.first, &n.strikes, &n.short, &n.shortAt, &n.failures, &n.retryAt, &n.runtime); err != nil {
			return nil, err
		}
		n.made = made == 1
		all[p] = n
	}
	return all, rows.Err()
}

// roomsTx are the hosts that are connected and not being drained, with the room they have.
func (s *Service) roomsTx(tx *store.Tx) (map[arn.Location][]*roomy, error) {
	rows, err := tx.Query(`SELECT h.key, h.location, h.address, h.dns_name, h.os, h.capacity - COALESCE(u.n, 0), COALESCE(h.failed_at, 0)
		FROM host h LEFT JOIN (SELECT host, count(*) AS n FROM instance WHERE ended_at IS NULL GROUP BY host) u ON u.host = h.key
		WHERE h.node IS NOT NULL AND h.lost_at IS NULL AND h.draining = 0 ORDER BY h.key`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	rooms := map[arn.Location][]*roomy{}
	for rows.Next() {
		h := &roomy{}
		var at arn.Location
		var dns string
		var failedAt int64
		if err := rows.Scan(&h.key, &at, &h.address, &dns, &h.os, &h.free, &failedAt); err != nil {
			return nil, err
		}
		if dns != "" {
			h.dns = &dns
		}
		h.failed = failedAt > 0 && tx.Now.Sub(time.UnixMilli(failedAt)) < failedMemory
		rooms[at] = append(rooms[at], h)
	}
	return rooms, rows.Err()
}

func drainingHosts(tx *store.Tx) (map[store.Key]bool, error) {
	return store.Set[store.Key](tx.Query(`SELECT key FROM host WHERE draining = 1 ORDER BY key`))
}
