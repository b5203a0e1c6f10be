package compute

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// row is a row of table process.
type row struct {
	Process
	createdWith string // idempotency token of the dial that made it
	token       string // sum of the auth token of its last dial
	activating  bool
	hosted      bool
	node        *string // who holds its socket
	goneAt      *int64
	dialledAt   int64
	endedAt     *int64
	why         EndReason
}

// free tells whether the process may get a game session.
func (p row) free() bool {
	return p.Status == StatusReady && p.Healthy && p.Connected && p.EndBy.IsZero()
}

const processColumns = `key, compute, fleet, fleet_id, compute_name, location, ip_address, dns_name, agent, process_id,
	created_with, token, status, healthy, activating, hosted, dial, node, gone_at, dialled_at, ready_at, end_by, ended_at, ended_why,
	port, log_paths, sdk_version, sdk_language, tool_name, tool_version, managed`

func scanProcess(from store.Scanner) (row, error) {
	var p row
	var agent, healthy, activating, hosted, managed int64
	var readyAt, endBy *int64
	var why *string
	var logs string
	if err := from.Scan(&p.Key, &p.ComputeKey, &p.FleetKey, &p.Fleet, &p.Compute, &p.Location, &p.IPAddress, &p.DNSName, &agent, &p.ProcessID,
		&p.createdWith, &p.token, &p.Status, &healthy, &activating, &hosted, &p.Dial, &p.node, &p.goneAt, &p.dialledAt, &readyAt, &endBy, &p.endedAt, &why,
		&p.Port, &logs, &p.SDKVersion, &p.SDKLanguage, &p.ToolName, &p.ToolVersion, &managed); err != nil {
		return row{}, err
	}
	p.Agent, p.Healthy, p.activating, p.hosted, p.Managed = agent == 1, healthy == 1, activating == 1, hosted == 1, managed == 1
	p.Connected = p.node != nil
	p.ReadyAt, p.EndBy = instant(readyAt), instant(endBy)
	if why != nil {
		p.why = EndReason(*why)
	}
	if err := json.Unmarshal([]byte(logs), &p.LogPaths); err != nil {
		return row{}, fmt.Errorf("log paths of process %d: %w", p.Key, err)
	}
	return p, nil
}

func instant(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	return new(t.UnixMilli())
}

func processByKey(tx *store.Tx, key store.Key) (row, error) {
	return scanProcess(tx.QueryRow(`SELECT `+processColumns+` FROM process WHERE key = $1`, key))
}

func processByID(tx *store.Tx, compute store.Key, id string) (row, error) {
	return scanProcess(tx.QueryRow(`SELECT `+processColumns+` FROM process WHERE compute = $1 AND process_id = $2`, compute, id))
}

// holdTx reads a process under its compute's lock, so that nobody else changes it.
func holdTx(tx *store.Tx, key store.Key) (row, error) {
	if err := lockComputeOf(tx, key); err != nil {
		return row{}, err
	}
	return processByKey(tx, key)
}

// lockComputeOf locks a process's compute, if it is still registered. SQLite has one
// writer, who needs no locks.
func lockComputeOf(tx *store.Tx, process store.Key) error {
	if tx.Dialect() == store.SQLite {
		return nil
	}
	_, err := tx.Exec(`SELECT c.key FROM compute c JOIN process p ON p.compute = c.key WHERE p.key = $1 FOR UPDATE OF c`, process)
	return err
}

// liveProcesses are the processes of a compute that have not ended.
func liveProcesses(tx *store.Tx, compute store.Key) ([]row, error) {
	return store.All(scanProcess)(tx.Query(`SELECT `+processColumns+` FROM process WHERE compute = $1 AND status <> $2 ORDER BY key`, compute, StatusEnded))
}

func insertProcess(tx *store.Tx, p row) error {
	_, err := tx.Exec(`INSERT INTO process (`+processColumns+`, free, sent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
			$14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, 0, 0)`,
		p.Key, p.ComputeKey, p.FleetKey, p.Fleet, p.Compute, p.Location, p.IPAddress, p.DNSName, bit(p.Agent), p.ProcessID,
		p.createdWith, p.token, p.Status, bit(p.Healthy), bit(p.activating), bit(p.hosted), p.Dial, p.node, p.goneAt, p.dialledAt,
		millis(p.ReadyAt), millis(p.EndBy), p.endedAt, p.whyColumn(), p.Port, p.logColumn(), p.SDKVersion, p.SDKLanguage, p.ToolName, p.ToolVersion, bit(p.Managed))
	return err
}

// saveTx writes a process whose compute is locked, and brings the compute's counts along.
func saveTx(tx *store.Tx, before, p row) error {
	if _, err := tx.Exec(`UPDATE process SET agent = $2, token = $3, status = $4, healthy = $5, free = $6, activating = $7, hosted = $8, dial = $9,
			node = $10, gone_at = $11, dialled_at = $12, ready_at = $13, end_by = $14, ended_at = $15, ended_why = $16,
			port = $17, log_paths = $18, sdk_version = $19, sdk_language = $20, tool_name = $21, tool_version = $22 WHERE key = $1`,
		p.Key, bit(p.Agent), p.token, p.Status, bit(p.Healthy), bit(p.free()), bit(p.activating), bit(p.hosted), p.Dial,
		p.node, p.goneAt, p.dialledAt, millis(p.ReadyAt), millis(p.EndBy), p.endedAt, p.whyColumn(),
		p.Port, p.logColumn(), p.SDKVersion, p.SDKLanguage, p.ToolName, p.ToolVersion); err != nil {
		return err
	}
	ready := bit(p.Status == StatusReady) - bit(before.Status == StatusReady)
	free := bit(p.free()) - bit(before.free())
	hosting := bit(p.Status == StatusHosting) - bit(before.Status == StatusHosting)
	activating := bit(p.activating) - bit(before.activating)
	if free > 0 {
		tx.Notify(ChannelFree, string(p.Fleet))
	}
	if ready == 0 && free == 0 && hosting == 0 && activating == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE compute SET ready = ready + $2, free = free + $3, hosting = hosting + $4, activating = activating + $5 WHERE key = $1`,
		p.ComputeKey, ready, free, hosting, activating)
	return err
}

func (p row) whyColumn() *string {
	if p.why == "" {
		return nil
	}
	return new(string(p.why))
}

func (p row) logColumn() string {
	text, err := json.Marshal(p.LogPaths)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

// sockets are the current ones of those given, and whether a node is known to hold each.
func sockets(tx *store.Tx, held []Socket) (map[Socket]bool, error) {
	keys := make([]int64, len(held))
	for i, h := range held {
		keys[i] = int64(h.Process)
	}
	rows, err := tx.Query(`SELECT key, dial, node FROM process WHERE `+tx.In("key", 1)+` AND status <> $2`, store.List(tx, keys), StatusEnded)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	current := make(map[Socket]bool, len(held))
	for rows.Next() {
		var h Socket
		var node *string
		if err := rows.Scan(&h.Process, &h.Dial, &node); err != nil {
			return nil, err
		}
		current[h] = node != nil
	}
	return current, rows.Err()
}
