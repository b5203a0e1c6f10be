package compute

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Reserved is a process that ReserveManyTx took, as far as a game session needs to know it.
type Reserved struct {
	Key       store.Key
	Compute   arn.ComputeName
	IPAddress string
	DNSName   *string
	Port      int32

	number int64 // of the message that will start its game session
}

// ReserveManyTx is ReserveTx for up to n game sessions at once, in a handful of statements
// however many they are. It returns as many processes as there are, perhaps none. Each must
// be sent its game session by StartManyTx in the same transaction.
func (s *Service) ReserveManyTx(tx *store.Tx, f fleet.Fleet, at arn.Location, n int) ([]Reserved, error) {
	var list []Reserved
	// Computes are locked few at a time: other transactions want some too.
	for few := 1; len(list) < n; few = min(2*few, 64) {
		shares, err := shareOut(tx, f, at, n-len(list), few, len(list) == 0)
		if err != nil || len(shares) == 0 {
			return list, err
		}
		for _, share := range shares {
			taken, err := takeShare(tx, share)
			if err != nil {
				return nil, err
			}
			list = append(list, taken...)
		}
	}
	return list, nil
}

// share is how many processes are taken from a compute.
type share struct {
	compute store.Key
	n       int64
}

// shareOut locks some computes for up to n more game sessions. The one that hosts most stays
// the one that hosts most with each that it gets, so it gets all it can take. It passes over
// computes that others have locked; when there are no more than those, it waits for them.
func shareOut(tx *store.Tx, f fleet.Fleet, at arn.Location, n, few int, wait bool) (shares []share, err error) {
	if tx.Dialect() == store.SQLite {
		return freeComputes(tx, f, at, n, few, "")
	}
	shares, err = freeComputes(tx, f, at, n, few, " FOR UPDATE SKIP LOCKED")
	if err != nil || len(shares) > 0 || !wait {
		return shares, err
	}
	return freeComputes(tx, f, at, n, few, " FOR UPDATE")
}

func freeComputes(tx *store.Tx, f fleet.Fleet, at arn.Location, n, few int, lock string) (shares []share, err error) {
	rows, err := tx.Query(`SELECT key, CASE WHEN free < $3 - activating THEN free ELSE $3 - activating END FROM compute
		WHERE fleet = $1 AND location = $2 AND free > 0 AND cordon = 0 AND activating < $3 ORDER BY hosting DESC, key LIMIT $4`+lock,
		f.Key, at, int64(f.MaxActivations()), few)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for left := int64(n); rows.Next() && left > 0; {
		var s share
		if err := rows.Scan(&s.compute, &s.n); err != nil {
			return nil, err
		}
		s.n = min(s.n, left)
		left -= s.n
		shares = append(shares, s)
	}
	return shares, rows.Err()
}

func takeShare(tx *store.Tx, c share) ([]Reserved, error) {
	if _, err := tx.Exec(`UPDATE compute SET ready = ready - $2, free = free - $2, hosting = hosting + $2, activating = activating + $2
		WHERE key = $1`, c.compute, c.n); err != nil {
		return nil, err
	}
	taken, err := takeFree(tx, c.compute, c.n)
	if err == nil && int64(len(taken)) != c.n {
		err = fmt.Errorf("compute %d counts %d free processes and has %d", c.compute, c.n, len(taken))
	}
	return taken, err
}

// takeFree makes the processes of a locked compute that are ready for longest HOSTING.
func takeFree(tx *store.Tx, compute store.Key, n int64) (list []Reserved, err error) {
	rows, err := tx.Query(`UPDATE process SET status = $2, free = 0, activating = 1, hosted = 1, sent = sent + 1
		WHERE key IN (SELECT key FROM process WHERE compute = $1 AND free = 1 ORDER BY ready_at, key LIMIT $3)
		RETURNING key, compute_name, ip_address, dns_name, port, sent`, compute, StatusHosting, n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Reserved
		if err := rows.Scan(&r.Key, &r.Compute, &r.IPAddress, &r.DNSName, &r.Port, &r.number); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// StartManyTx puts the start of its game session into the inbox of each process that this
// transaction reserved by ReserveManyTx; messages[i] is for processes[i].
func (s *Service) StartManyTx(tx *store.Tx, processes []Reserved, messages []CreateGameSession) error {
	rows := make([][]any, len(processes))
	for i, p := range processes {
		text, err := json.Marshal(messages[i])
		if err != nil {
			return err
		}
		rows[i] = []any{p.Key, p.number, string(text)}
		tx.Notify(ChannelProcess, strconv.FormatInt(int64(p.Key), 10))
	}
	return tx.InsertMany(`INSERT INTO process_inbox (process, number, text) VALUES ($1, $2, $3)`, rows)
}

// FreeTx is how many game sessions each location of a fleet could take now. Locations that
// could take none are left out.
func (s *Service) FreeTx(tx *store.Tx, f fleet.Fleet) (map[arn.Location]int, error) {
	rows, err := tx.Query(`SELECT location, CAST(sum(CASE WHEN free < $2 - activating THEN free ELSE $2 - activating END) AS BIGINT) FROM compute
		WHERE fleet = $1 AND free > 0 AND cordon = 0 AND activating < $2 GROUP BY location ORDER BY location`, f.Key, int64(f.MaxActivations()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	free := map[arn.Location]int{}
	for rows.Next() {
		var at arn.Location
		var n int
		if err := rows.Scan(&at, &n); err != nil {
			return nil, err
		}
		free[at] = n
	}
	return free, rows.Err()
}

// AnyFreeTx tells whether there is a free process at all.
func (s *Service) AnyFreeTx(tx *store.Tx) (bool, error) {
	err := tx.QueryRow(`SELECT key FROM compute WHERE free > 0 AND cordon = 0 LIMIT 1`).Scan(new(int64))
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// WhyNoneTx is why a location of a fleet can take no game session, in words for people.
func (s *Service) WhyNoneTx(tx *store.Tx, f fleet.Fleet, at arn.Location) (string, error) {
	err := whyNone(tx, f, at)
	if errors.Is(err, ErrNoProcess) {
		return err.Error(), nil
	}
	return "", err
}

// ActivatedManyTx is ActivatedTx for many processes, in a handful of statements. Processes
// that have ended are passed over.
func (s *Service) ActivatedManyTx(tx *store.Tx, processes []store.Key) error {
	keys := make([]int64, len(processes))
	for i, p := range processes {
		keys[i] = int64(p)
	}
	list := store.List(tx, keys)
	if tx.Dialect() == store.Postgres {
		if _, err := tx.Exec(`SELECT key FROM compute WHERE key IN (SELECT compute FROM process WHERE `+tx.In("key", 1)+`) ORDER BY key FOR UPDATE`, list); err != nil {
			return err
		}
	}
	activated, err := endActivating(tx, list)
	if err != nil || len(activated) == 0 {
		return err
	}
	var rows [][]any
	for _, c := range slices.Sorted(maps.Keys(activated)) {
		rows = append(rows, []any{c, activated[c].n})
		if activated[c].agent {
			tellAgent(tx, c)
		}
	}
	_, err = tx.ExecMany(`UPDATE compute SET activating = activating - $2 WHERE key = $1`, rows)
	return err
}

// activated is how many processes of a compute do not activate any more, and whether an agent
// of a registered compute must hear of them.
type activated struct {
	n     int64
	agent bool
}

// endActivating marks processes as not activating, and counts them by compute.
func endActivating(tx *store.Tx, processes any) (map[store.Key]activated, error) {
	rows, err := tx.Query(`UPDATE process SET activating = 0 WHERE `+tx.In("key", 1)+` AND activating = 1 RETURNING compute, agent, managed`, processes)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	of := map[store.Key]activated{}
	for rows.Next() {
		var c store.Key
		var agent, managed int64
		if err := rows.Scan(&c, &agent, &managed); err != nil {
			return nil, err
		}
		a := of[c]
		a.n++
		a.agent = a.agent || agent == 1 && managed == 0
		of[c] = a
	}
	return of, rows.Err()
}
