package compute

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Instances of managed fleets are computes that come and go by themselves: the host room
// adds and drops them, hears of their processes through the seam Noted, and tells what the
// agents on their hosts report.

// Instance is a compute of a managed fleet, to be added.
type Instance struct {
	Fleet     fleet.Fleet
	Name      arn.ComputeName // the instance's id
	Location  arn.Location
	IPAddress string
	DNSName   *string
	Type      types.EC2InstanceType
	OS        types.OperatingSystem
}

// AddInstancesTx adds computes for instances, which get no game sessions before a process of
// theirs is ready. Quotas do not apply. The keys are in the order of the list.
func (s *Service) AddInstancesTx(tx *store.Tx, list []Instance) ([]store.Key, error) {
	keys, rows := make([]store.Key, len(list)), make([][]any, len(list))
	for i, n := range list {
		keys[i] = tx.NewKey()
		rows[i] = []any{keys[i], n.Fleet.Key, n.Fleet.ID, n.Name, n.Location, n.IPAddress, n.DNSName, tx.NowMs(), string(n.Type), string(n.OS), 1, 1, 0, 0, 0, 0}
	}
	return keys, tx.InsertMany(`INSERT INTO compute (key, fleet, fleet_id, name, location, ip_address, dns_name, created_at, kind, os,
		agent, managed, ready, free, hosting, activating) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, rows)
}

// Cordon is how far an instance is kept from game sessions.
type Cordon int64

// The steps.
const (
	Open     Cordon = iota // it takes game sessions
	Closed                 // it takes no more
	Stopping               // it takes no more, and does not count as active any more
)

// CordonTx opens or closes instances. They stay locked until the transaction ends.
func (s *Service) CordonTx(tx *store.Tx, computes []store.Key, to Cordon) error {
	if len(computes) == 0 {
		return nil
	}
	list := store.List(tx, ints(computes))
	if err := lockInstances(tx, list); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE compute SET cordon = $2 WHERE `+tx.In("key", 1)+` AND cordon <> $2`, list, to); err != nil || to != Open {
		return err
	}
	fleets := map[arn.FleetID]bool{}
	rows, err := tx.Query(`SELECT DISTINCT fleet_id FROM compute WHERE `+tx.In("key", 1)+` AND free > 0 ORDER BY fleet_id`, list)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id arn.FleetID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		fleets[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(fleets)) {
		tx.Notify(ChannelFree, string(id))
	}
	return rows.Err()
}

// HostingTx is how many game sessions each of the given instances hosts. Instances that are
// not there are left out; the others stay locked until the transaction ends, so that they get
// no more meanwhile.
func (s *Service) HostingTx(tx *store.Tx, computes []store.Key) (map[store.Key]int, error) {
	if len(computes) == 0 {
		return nil, nil
	}
	list := store.List(tx, ints(computes))
	if err := lockInstances(tx, list); err != nil {
		return nil, err
	}
	rows, err := tx.Query(`SELECT key, hosting FROM compute WHERE `+tx.In("key", 1), list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	hosting := make(map[store.Key]int, len(computes))
	for rows.Next() {
		var key store.Key
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			return nil, err
		}
		hosting[key] = n
	}
	return hosting, rows.Err()
}

// lockInstances locks computes in the order of their keys.
func lockInstances(tx *store.Tx, list any) error {
	if tx.Dialect() == store.SQLite {
		return nil
	}
	_, err := tx.Exec(`SELECT key FROM compute WHERE `+tx.In("key", 1)+` ORDER BY key FOR UPDATE`, list)
	return err
}

// ActiveTx counts the instances in a location of a fleet that have a process which is ready
// or hosts a game session and are not Stopping, and those of them that host none. Without a
// location it counts all.
func (s *Service) ActiveTx(tx *store.Tx, f store.Key, at arn.Location) (active, idle int, err error) {
	err = tx.QueryRow(`SELECT count(*), COALESCE(CAST(sum(CASE WHEN hosting = 0 THEN 1 ELSE 0 END) AS BIGINT), 0) FROM compute
		WHERE fleet = $1 AND (location = $2 OR $2 = '') AND managed = 1 AND cordon < 2 AND ready + hosting > 0`, f, at).Scan(&active, &idle)
	return active, idle, err
}

// LivelyTx are those of the given instances that have a process which is ready or hosts a
// game session.
func (s *Service) LivelyTx(tx *store.Tx, computes []store.Key) (map[store.Key]bool, error) {
	if len(computes) == 0 {
		return nil, nil
	}
	return store.Set[store.Key](tx.Query(`SELECT key FROM compute WHERE `+tx.In("key", 1)+` AND ready + hosting > 0`, store.List(tx, ints(computes))))
}

// StopInstanceTx asks the processes of an instance to end: those that are ready by
// TerminateProcess, with what they host; the others are killed.
func (s *Service) StopInstanceTx(tx *store.Tx, key store.Key) error {
	if err := s.CordonTx(tx, []store.Key{key}, Stopping); err != nil {
		return err
	}
	live, err := liveProcesses(tx, key)
	if err != nil {
		return err
	}
	for _, p := range live {
		switch {
		case p.Status == StatusConnected:
			err = s.endTx(tx, p, Shutdown)
		case p.EndBy.IsZero():
			err = s.SendTx(tx, p.Key, TerminateProcess{At: tx.Now.Add(TerminationGrace)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// AbandonTx closes an instance whose host is lost. Its processes end, but for those that
// host a game session over a socket which still holds: they go on until they end by
// themselves. left is how many those are.
func (s *Service) AbandonTx(tx *store.Tx, key store.Key) (left int, err error) {
	if err := s.CordonTx(tx, []store.Key{key}, Stopping); err != nil {
		return 0, err
	}
	live, err := liveProcesses(tx, key)
	if err != nil {
		return 0, err
	}
	for _, p := range live {
		if p.Connected && p.Status == StatusHosting {
			left++
			continue
		}
		if err := s.endTx(tx, p, HostLost); err != nil {
			return 0, err
		}
	}
	return left, nil
}

// DropInstanceTx removes an instance and ends what is left on it.
func (s *Service) DropInstanceTx(tx *store.Tx, key store.Key, why EndReason) error {
	c, err := scanCompute(tx.QueryRow(`SELECT `+computeColumns+` FROM compute WHERE key = $1`+tx.ForUpdate(), key))
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.dropTx(tx, c, why)
}

// Token is an auth token of a compute, and when it expires.
type Token struct {
	Text      string
	ExpiresAt time.Time
	// RenewAt is from when on there is a newer one.
	RenewAt time.Time
}

// TokensTx are the auth tokens to give to instances, by GetComputeAuthToken's rules.
func (s *Service) TokensTx(tx *store.Tx, computes []store.Key) (map[store.Key]Token, error) {
	tokens := make(map[store.Key]Token, len(computes))
	if len(computes) == 0 {
		return tokens, nil
	}
	c := s.Config.orDefaults()
	tokenOf := func(text string, expires int64) Token {
		at := time.UnixMilli(expires).UTC()
		return Token{text, at, at.Add(-c.TokenOverlap)}
	}
	err := func() error {
		rows, err := tx.Query(`SELECT compute, token, sealed, expires_at FROM compute_token WHERE `+tx.In("compute", 1)+` AND expires_at > $2 ORDER BY expires_at, token`,
			store.List(tx, ints(computes)), tx.Now.Add(c.TokenOverlap).UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key store.Key
			var stored string
			var sealed *string
			var expires int64
			if err := rows.Scan(&key, &stored, &sealed, &expires); err != nil {
				return err
			}
			if text, ok := s.openToken(key, stored, sealed); ok {
				tokens[key] = tokenOf(text, expires)
			}
		}
		return rows.Err()
	}()
	if err != nil {
		return nil, err
	}
	var rows [][]any
	for _, key := range computes {
		if _, ok := tokens[key]; ok {
			continue
		}
		t := tokenOf(newToken(), tx.Now.Add(c.TokenLife).UnixMilli())
		tokens[key] = t
		sealed, err := s.sealToken(key, t.Text)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []any{sumOf(t.Text), sealed, key, t.ExpiresAt.UnixMilli()})
	}
	return tokens, tx.InsertMany(`INSERT INTO compute_token (token, sealed, compute, expires_at) VALUES ($1, $2, $3, $4)`, rows)
}

// Exit is the end of a process, as the agent of its host reports it.
type Exit struct {
	Compute   store.Key
	ProcessID string
	Why       EndReason
	Detail    string // for people: the exit code, a signal, the last words; may be ""
}

// ExitedTx records what agents report. Of a process that has ended already nothing changes;
// one that never dialled leaves the event. known tells whether the process had dialled.
func (s *Service) ExitedTx(tx *store.Tx, e Exit) (known bool, err error) {
	if tx.Dialect() == store.Postgres {
		if _, err := tx.Exec(`SELECT key FROM compute WHERE key = $1 FOR UPDATE`, e.Compute); err != nil {
			return false, err
		}
	}
	p, err := processByID(tx, e.Compute, e.ProcessID)
	if errors.Is(err, store.ErrNoRows) {
		return false, s.exitEventTx(tx, e)
	}
	if err != nil {
		return false, err
	}
	if p.Status != StatusEnded {
		return true, s.finishTx(tx, p, e.Why, e.Detail, true)
	}
	if e.Why == ExitTimeout && p.why == Normal {
		return true, s.exitEventTx(tx, e)
	}
	return true, nil
}

// exitEventTx tells a fleet of the end of a process that has no row to tell of it.
func (s *Service) exitEventTx(tx *store.Tx, e Exit) error {
	c, err := scanCompute(tx.QueryRow(`SELECT `+computeColumns+` FROM compute WHERE key = $1`, e.Compute))
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.endEventTx(tx, c.fleetID, c.name, e.Why, e.Detail)
}

// AloneTx ends the processes of an instance that its agent does not know (its own list is
// running) and that are not connected either.
func (s *Service) AloneTx(tx *store.Tx, key store.Key, running []string) error {
	if err := s.lockOneTx(tx, key); err != nil {
		return err
	}
	live, err := liveProcesses(tx, key)
	if err != nil {
		return err
	}
	for _, p := range live {
		if p.Connected || slices.Contains(running, p.ProcessID) {
			continue
		}
		if err := s.finishTx(tx, p, Crashed, "its host does not run it any more", true); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) lockOneTx(tx *store.Tx, key store.Key) error {
	return lockInstances(tx, store.List(tx, []int64{int64(key)}))
}

// LiveTx are the processes of the given instances that have not ended, in the order of their
// keys.
func (s *Service) LiveTx(tx *store.Tx, computes []store.Key) ([]Process, error) {
	ended, err := processesWhere(tx, tx.In("compute", 1)+` AND status <> $2`, store.List(tx, ints(computes)), StatusEnded)
	var list []Process
	for _, e := range ended {
		list = append(list, e.Process)
	}
	return list, err
}

// Ended is a process that has ended, and why.
type Ended struct {
	Process
	Why EndReason
}

// EndedTx are those of the named processes of the given instances that have ended.
func (s *Service) EndedTx(tx *store.Tx, computes []store.Key, ids []string) ([]Ended, error) {
	return processesWhere(tx, tx.In("compute", 1)+` AND `+tx.In("process_id", 3)+` AND status = $2`, store.List(tx, ints(computes)), StatusEnded, store.List(tx, ids))
}

func processesWhere(tx *store.Tx, where string, args ...any) ([]Ended, error) {
	return store.All(func(from store.Scanner) (Ended, error) {
		p, err := scanProcess(from)
		return Ended{p.Process, p.why}, err
	})(tx.Query(`SELECT `+processColumns+` FROM process WHERE `+where+` ORDER BY key`, args...))
}

// ManagedTx are those of the given processes that run on instances.
func (s *Service) ManagedTx(tx *store.Tx, processes []store.Key) (map[store.Key]Process, error) {
	list, err := processesWhere(tx, tx.In("key", 1)+` AND managed = 1`, store.List(tx, ints(processes)))
	managed := make(map[store.Key]Process, len(list))
	for _, p := range list {
		managed[p.Key] = p.Process
	}
	return managed, err
}

// Note is something that the agent of a process's host must know.
type Note int

// The notes.
const (
	NoteDialled Note = iota // the process connected for the first time
	NoteReady               // it called ProcessReady
	NoteEnding              // it called ProcessEnding, and is about to exit
	NoteKill                // it is to be killed
)

func ints(keys []store.Key) []int64 {
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	return list
}
