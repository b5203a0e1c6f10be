package access

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// row is a key as the table has it.
type row struct {
	Key

	stored   string  // the secret
	tokenSum *string // hexadecimal
	life     time.Duration
}

// insert adds a key.
func insert(tx *store.Tx, r row) error {
	_, err := insertWith(tx, r, "")
	return err
}

// insertRoot adds a root key, unless its id is taken or there is another.
func insertRoot(tx *store.Tx, id, stored string) (added bool, err error) {
	n, err := insertWith(tx, row{Key: Key{ID: id, Name: rootName, Policy: Policy{Terms: []string{Full}}, Root: true}, stored: stored}, " ON CONFLICT DO NOTHING")
	return n == 1, err
}

func insertWith(tx *store.Tx, r row, suffix string) (int64, error) {
	policy, err := json.Marshal(r.Policy)
	if err != nil {
		return 0, err
	}
	var expires *int64
	if !r.ExpiresAt.IsZero() {
		expires = new(r.ExpiresAt.UnixMilli())
	}
	root := int64(0)
	if r.Root {
		root = 1
	}
	return tx.Exec(`INSERT INTO access_key (id, key, name, policy, secret, token_sum, root, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`+suffix,
		r.ID, int64(tx.NewKey()), r.Name, string(policy), r.stored, r.tokenSum, root, tx.NowMs(), expires)
}

// each calls f for the keys that a WHERE or ORDER BY selects.
func each(tx *store.Tx, suffix string, args []any, f func(row)) error {
	rows, err := tx.Query(`SELECT id, name, policy, secret, token_sum, root, created_at, expires_at, revoked_at, last_used_at FROM access_key `+suffix, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var policy string
		var root, created int64
		var expires, revoked, used *int64
		if err := rows.Scan(&r.ID, &r.Name, &policy, &r.stored, &r.tokenSum, &root, &created, &expires, &revoked, &used); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(policy), &r.Policy); err != nil {
			return fmt.Errorf("policy of access key %s: %w", r.ID, err)
		}
		r.Temporary, r.Root = r.tokenSum != nil, root == 1
		r.CreatedAt = time.UnixMilli(created).UTC()
		r.ExpiresAt, r.RevokedAt, r.LastUsedAt = instant(expires), instant(revoked), instant(used)
		f(r)
	}
	return rows.Err()
}

func byID(tx *store.Tx, id, lock string) (found row, err error) {
	err = each(tx, `WHERE id = $1`+lock, []any{id}, func(r row) { found = r })
	if err == nil && found.ID == "" {
		err = store.ErrNoRows
	}
	return found, err
}

func instant(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// sum is the session token's as bytes.
func (r *row) sum() (sum [32]byte, err error) {
	if r.tokenSum == nil {
		return sum, nil
	}
	if n, err := hex.Decode(sum[:], []byte(*r.tokenSum)); err != nil || n != len(sum) {
		return sum, fmt.Errorf("session token of access key %s: damaged", r.ID)
	}
	return sum, nil
}
