package host

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// desired is what this server wants of an instance.
type desired string

// What is wanted, in the order in which it may change. Only DRAIN can be taken back.
const (
	run   desired = "RUN"
	drain desired = "DRAIN" // no new game sessions; it stops when it hosts none
	stop  desired = "STOP"
	kill  desired = "KILL"
)

// actual is what an instance's agent last said.
type actual string

// The states. LOST is not said by an agent, but for want of one.
const (
	pending   actual = "PENDING" // nothing said yet
	preparing actual = "PREPARING"
	running   actual = "RUNNING"
	draining  actual = "DRAINING"
	lost      actual = "LOST"
	gone      actual = "GONE"
	failed    actual = "FAILED"
)

// instance is a row of table instance.
type instance struct {
	key      store.Key
	id       string
	fleet    store.Key
	fleetID  arn.FleetID
	location arn.Location
	host     store.Key
	compute  store.Key
	ip       string
	dns      *string
	kind     types.EC2InstanceType
	os       types.OperatingSystem
	desired  desired
	actual   actual
	ready    bool
	at       int64
	madeAt   int64
	endedAt  *int64
}

// place is where an instance belongs.
type place struct {
	fleet    store.Key
	location arn.Location
}

func (i instance) place() place { return place{i.fleet, i.location} }

// ending tells whether the instance is to end, however long that takes.
func (i instance) ending() bool { return i.desired == stop || i.desired == kill }

// newInstance is an instance that is to be made on a host.
type newInstance struct {
	fleet    fleet.Fleet
	location arn.Location
	host     roomy
}

// mint makes an instance id: 17 hexadecimal digits, 13 of them random.
func mint(key store.Key) string { return fmt.Sprintf("i-%04x%013x", uint64(key)&0xffff, store.Tail()) }

// addTx makes instances and their computes, and lets their hosts know. It returns their keys.
func (s *Service) addTx(tx *store.Tx, list []newInstance) ([]store.Key, error) {
	keys, computes := make([]store.Key, len(list)), make([]compute.Instance, len(list))
	for i, n := range list {
		keys[i] = tx.NewKey()
		computes[i] = compute.Instance{
			Fleet: n.fleet, Name: arn.ComputeName(mint(keys[i])), Location: n.location, IPAddress: n.host.address, DNSName: n.host.dns,
			Type: n.fleet.InstanceType, OS: n.fleet.OS,
		}
	}
	made, err := s.Computes.AddInstancesTx(tx, computes)
	if err != nil {
		return nil, err
	}
	rows, hosts := make([][]any, len(list)), map[store.Key]bool{}
	for i, n := range list {
		c := computes[i]
		rows[i] = []any{
			keys[i], c.Name, n.fleet.Key, n.fleet.ID, n.location, n.host.key, made[i], c.IPAddress, c.DNSName, string(c.Type), string(c.OS),
			run, pending, tx.NowMs(), tx.NowMs(), 0, 1, 0,
		}
		hosts[n.host.key] = true
	}
	notify(tx, hosts)
	return keys, tx.InsertMany(`INSERT INTO instance (key, id, fleet, fleet_id, location, host, compute, ip, dns_name, kind, os, desired, actual, made_at,
		at, ready, rev, told) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`, rows)
}

// stopTx begins the end of an instance: its processes are asked to end, and its agent ends
// what does not. One whose host is lost has nobody to tell.
func (s *Service) stopTx(tx *store.Tx, i instance) error {
	if i.ending() || i.actual == lost {
		return nil
	}
	if _, err := tx.Exec(`UPDATE instance SET desired = $2, rev = rev + 1, renew_at = NULL, stop_by = $3 WHERE key = $1`,
		i.key, stop, tx.Now.Add(s.Config.orDefaults().StopTimeout).UnixMilli()); err != nil {
		return err
	}
	notify(tx, map[store.Key]bool{i.host: true})
	return s.Computes.StopInstanceTx(tx, i.compute)
}

// endTx ends an instance's row, and what is left on its compute.
func (s *Service) endTx(tx *store.Tx, i instance, as actual, why compute.EndReason) error {
	n, err := tx.Exec(`UPDATE instance SET actual = $2, at = $3, ended_at = $3, told = rev, renew_at = NULL, stop_by = NULL WHERE key = $1 AND ended_at IS NULL`,
		i.key, as, tx.NowMs())
	if err != nil || n == 0 {
		return err
	}
	tx.Notify(fleet.ChannelCapacity, string(i.fleetID))
	return s.Computes.DropInstanceTx(tx, i.compute, why)
}

// setDesiredTx changes what is wanted of instances that run, without telling their agents.
func setDesiredTx(tx *store.Tx, keys []store.Key, to desired) error {
	_, err := tx.Exec(`UPDATE instance SET desired = $2 WHERE `+tx.In("key", 1)+` AND ended_at IS NULL`, store.List(tx, ints(keys)), to)
	return err
}

const instanceColumns = `key, id, fleet, fleet_id, location, host, compute, ip, dns_name, kind, os, desired, actual, ready, at, made_at, ended_at`

func instances(tx *store.Tx, where string, args ...any) ([]instance, error) {
	rows, err := tx.Query(`SELECT `+instanceColumns+` FROM instance `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []instance
	for rows.Next() {
		var i instance
		var ready int64
		if err := rows.Scan(&i.key, &i.id, &i.fleet, &i.fleetID, &i.location, &i.host, &i.compute, &i.ip, &i.dns, &i.kind, &i.os,
			&i.desired, &i.actual, &ready, &i.at, &i.madeAt, &i.endedAt); err != nil {
			return nil, err
		}
		i.ready = ready == 1
		list = append(list, i)
	}
	return list, rows.Err()
}

// onHost are the instances of a host that have not ended.
func onHost(tx *store.Tx, host store.Key) ([]instance, error) {
	return instances(tx, `WHERE host = $1 AND ended_at IS NULL ORDER BY key`, host)
}

// inPlace are the instances of a place that have not ended.
func inPlace(tx *store.Tx, p place) ([]instance, error) {
	return instances(tx, `WHERE fleet = $1 AND location = $2 AND ended_at IS NULL ORDER BY key`, p.fleet, p.location)
}

// ofCompute is the instance of a compute; ok is false when it has ended.
func ofCompute(tx *store.Tx, c store.Key) (i instance, ok bool, err error) {
	list, err := instances(tx, `WHERE compute = $1 AND ended_at IS NULL`, c)
	if err != nil || len(list) == 0 {
		return instance{}, false, err
	}
	return list[0], true, nil
}

// InstancesTx counts the instances in a location of a fleet, for fleet.Service.Instances.
// Those there is no room for yet are among the pending.
func (s *Service) InstancesTx(tx *store.Tx, id arn.FleetID, at arn.Location) (n fleet.Instances, err error) {
	f, err := s.Fleets.GetTx(tx, id)
	if err != nil {
		return n, err
	}
	var up, short int
	if err := tx.QueryRow(`SELECT COALESCE(CAST(sum(CASE WHEN desired IN ('RUN', 'DRAIN') THEN 1 ELSE 0 END) AS BIGINT), 0),
			COALESCE(CAST(sum(CASE WHEN desired IN ('STOP', 'KILL') THEN 1 ELSE 0 END) AS BIGINT), 0)
		FROM instance WHERE fleet = $1 AND location = $2 AND ended_at IS NULL`, f.Key, at).Scan(&up, &n.Terminating); err != nil {
		return n, err
	}
	if err := tx.QueryRow(`SELECT COALESCE(CAST(sum(short) AS BIGINT), 0) FROM instance_place WHERE fleet = $1 AND location = $2`, f.Key, at).Scan(&short); err != nil {
		return n, err
	}
	if n.Active, n.Idle, err = s.Computes.ActiveTx(tx, f.Key, at); err != nil {
		return n, err
	}
	n.Pending = max(0, up-n.Active) + short
	return n, nil
}

// notify tells that hosts have something to be sent.
func notify(tx *store.Tx, hosts map[store.Key]bool) {
	for key := range hosts {
		tx.Notify(Channel, strconv.FormatInt(int64(key), 10))
	}
}

func ints(keys []store.Key) []int64 {
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	return list
}

func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}
