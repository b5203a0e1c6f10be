package compute

import (
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Stock is what the computes of a location of a fleet have.
type Stock struct {
	Fleet      arn.FleetID
	Location   arn.Location
	Computes   int64
	Ready      int64 // processes that are ready, of which Free can be given a game session now
	Free       int64
	Hosting    int64 // processes with a game session, of which Activating are not active yet
	Activating int64
}

// StockTx adds up the computes of all fleets.
func (s *Service) StockTx(tx *store.Tx) (list []Stock, err error) {
	rows, err := tx.Query(`SELECT fleet_id, location, count(*), CAST(sum(ready) AS BIGINT), CAST(sum(free) AS BIGINT), CAST(sum(hosting) AS BIGINT),
		CAST(sum(activating) AS BIGINT) FROM compute GROUP BY fleet_id, location ORDER BY fleet_id, location`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k Stock
		if err := rows.Scan(&k.Fleet, &k.Location, &k.Computes, &k.Ready, &k.Free, &k.Hosting, &k.Activating); err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// Rack is a compute and how many processes it has of a kind.
type Rack struct {
	Key        store.Key
	Name       arn.ComputeName
	Location   arn.Location
	IPAddress  string
	Managed    bool
	Cordon     Cordon
	CreatedAt  int64 // epoch milliseconds
	Ready      int64
	Free       int64
	Hosting    int64
	Activating int64
}

// RacksTx are computes of a fleet, oldest first, and how many there are in all; with only,
// of those.
func (s *Service) RacksTx(tx *store.Tx, fleet store.Key, only []store.Key, skip, most int) (list []Rack, total int64, err error) {
	where, args := `fleet = $1`, []any{fleet, int64(most), int64(skip)}
	if only != nil {
		where, args = where+` AND `+tx.In("key", 4), append(args, store.List(tx, ints(only)))
	}
	if err := tx.QueryRow(`SELECT count(*) FROM compute WHERE fleet = $1`, fleet).Scan(&total); err != nil {
		return nil, 0, err
	}
	if only != nil {
		total = int64(len(only))
	}
	rows, err := tx.Query(`SELECT key, name, location, ip_address, managed, cordon, created_at, ready, free, hosting, activating
		FROM compute WHERE `+where+` ORDER BY key LIMIT $2 OFFSET $3`, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Rack
		var managed int64
		if err := rows.Scan(&r.Key, &r.Name, &r.Location, &r.IPAddress, &managed, &r.Cordon, &r.CreatedAt, &r.Ready, &r.Free, &r.Hosting, &r.Activating); err != nil {
			return nil, 0, err
		}
		r.Managed = managed == 1
		list = append(list, r)
	}
	return list, total, rows.Err()
}

// Version is how many processes speak by a server SDK.
type Version struct {
	SDK       string // version and language, "" for those that did not say
	Processes int64
}

// VersionsTx are the server SDKs of a fleet's processes that have not ended, the most used
// first.
func (s *Service) VersionsTx(tx *store.Tx, fleet store.Key) (list []Version, err error) {
	rows, err := tx.Query(`SELECT p.sdk_version, p.sdk_language, count(*) FROM compute c JOIN process p ON p.compute = c.key
		WHERE c.fleet = $1 AND p.ended_at IS NULL GROUP BY p.sdk_version, p.sdk_language ORDER BY count(*) DESC, p.sdk_version, p.sdk_language`, fleet)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v Version
		var language string
		if err := rows.Scan(&v.SDK, &language, &v.Processes); err != nil {
			return nil, err
		}
		v.SDK = sdkName(v.SDK, language)
		list = append(list, v)
	}
	return list, rows.Err()
}

func sdkName(version, language string) string {
	if language == "" {
		return version
	}
	return version + " " + language
}

// BadTx are the computes of a fleet with processes that are unhealthy or not connected, or
// that ended since an instant (epoch milliseconds) for one of those reasons, oldest first.
func (s *Service) BadTx(tx *store.Tx, fleet store.Key, since int64, reasons []EndReason) ([]store.Key, error) {
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		texts[i] = string(r)
	}
	return store.Column[store.Key](tx.Query(`SELECT key FROM compute c WHERE fleet = $1 AND EXISTS (SELECT 1 FROM process p WHERE p.compute = c.key AND
			(p.ended_at IS NULL AND p.status <> 'CONNECTED' AND (p.healthy = 0 OR p.node IS NULL) OR p.ended_at >= $2 AND `+tx.In("p.ended_why", 3)+`))
		ORDER BY key`, fleet, since, store.List(tx, texts)))
}

// Cell is a process as a map of a fleet shows it.
type Cell struct {
	Compute    store.Key
	ProcessID  string
	Status     ProcessStatus
	Healthy    bool
	Connected  bool
	Free       bool
	Activating bool
	Ending     bool // it was told to end
	Port       int32
	SDK        string    // version and language
	EndedAt    int64     // epoch milliseconds; 0: it has not
	Why        EndReason // of one that has
}

// CellsTx are up to most processes of computes, those that have not ended first and among
// them the oldest; of those that have, only what ended since an instant (epoch milliseconds).
func (s *Service) CellsTx(tx *store.Tx, computes []store.Key, since int64, most int) (list []Cell, err error) {
	rows, err := tx.Query(`SELECT compute, process_id, status, healthy, CASE WHEN node IS NULL THEN 0 ELSE 1 END, free, activating,
			CASE WHEN end_by IS NULL THEN 0 ELSE 1 END, port, sdk_version, sdk_language, coalesce(ended_at, 0), coalesce(ended_why, '')
		FROM process WHERE `+tx.In("compute", 1)+` AND (ended_at IS NULL OR ended_at >= $2)
		ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, key LIMIT $3`, store.List(tx, ints(computes)), since, int64(most))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c Cell
		var healthy, connected, free, activating, ending int64
		var version, language string
		if err := rows.Scan(&c.Compute, &c.ProcessID, &c.Status, &healthy, &connected, &free, &activating, &ending, &c.Port,
			&version, &language, &c.EndedAt, &c.Why); err != nil {
			return nil, err
		}
		c.Healthy, c.Connected, c.Free, c.Activating, c.Ending = healthy == 1, connected == 1, free == 1, activating == 1, ending == 1
		c.SDK = sdkName(version, language)
		list = append(list, c)
	}
	return list, rows.Err()
}
