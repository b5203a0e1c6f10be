package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// Entry is one line of the audit log: who called what, on what, and how it ended.
type Entry struct {
	At        time.Time
	Key       string   // access key; "" for the server itself and for whoever has its folder
	Name      string   // what the key's owner calls it
	From      string   // address
	Request   string   // the answer's x-amzn-RequestId
	Operation string   // of the API, or keys:Create, keys:Revoke
	Resources []string // ARNs, or the id of a key
	Outcome   string   // "OK" or the error's code
}

// Audit is the log of changes: append-only, and chained, so that Verify finds an entry that
// was changed, taken out or put in. With a seal key, nobody without it can write a chain
// that holds; without one, whoever can write the database can write it all anew.
type Audit struct {
	DB *store.DB
	// SealKey and OldSealKeys are Service's.
	SealKey     []byte
	OldSealKeys [][]byte
}

// Append adds an entry, with the time of its transaction.
func (a *Audit) Append(ctx context.Context, e Entry) error {
	return a.DB.Write(ctx, func(tx *store.Tx) error { return a.AppendTx(tx, e) })
}

// AppendTx adds an entry as part of what it tells of.
func (a *Audit) AppendTx(tx *store.Tx, e Entry) error {
	e.At = tx.Now.UTC().Truncate(time.Millisecond)
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var seq int64
	var last string
	if err := tx.QueryRow(`SELECT seq, sum FROM audit_head WHERE id = 1`+tx.ForUpdate()).Scan(&seq, &last); err != nil {
		return err
	}
	seq++
	sum := a.sum(seq, last, string(text))
	if _, err := tx.Exec(`INSERT INTO audit (seq, at, entry, sum) VALUES ($1, $2, $3, $4)`, seq, tx.NowMs(), string(text), sum); err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE audit_head SET seq = $1, sum = $2 WHERE id = 1`, seq, sum)
	return err
}

func (a *Audit) sum(seq int64, last, text string) string {
	return a.sumUnder(a.SealKey, seq, last, text)
}

// holds tells whether an entry was chained under the seal key or an old one.
func (a *Audit) holds(seq int64, last, text, sum string) bool {
	return a.sum(seq, last, text) == sum ||
		slices.ContainsFunc(a.OldSealKeys, func(key []byte) bool { return a.sumUnder(key, seq, last, text) == sum })
}

func (*Audit) sumUnder(key []byte, seq int64, last, text string) string {
	h := sha256.New()
	if len(key) > 0 {
		h = hmac.New(sha256.New, key)
	}
	h.Write([]byte(strconv.FormatInt(seq, 10) + "\n" + last + "\n" + text))
	return hex.EncodeToString(h.Sum(nil))
}

// Logged is an entry with its number, which begins with 1.
type Logged struct {
	Seq int64
	Entry
}

// List returns up to limit entries after a number, oldest first.
func (a *Audit) List(ctx context.Context, after int64, limit int) (list []Logged, err error) {
	err = a.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		return auditRows(tx, after, limit, func(seq int64, text, _ string) error {
			l := Logged{Seq: seq}
			err := json.Unmarshal([]byte(text), &l.Entry)
			list = append(list, l)
			return err
		})
	})
	return list, err
}

// auditPage is how many entries Verify reads at a time.
const auditPage = 1000

// Verify reads the whole chain and returns the number of its entries. The error names the
// first place that does not hold.
func (a *Audit) Verify(ctx context.Context) (entries int64, err error) {
	last := ""
	for more := true; more; {
		more = false
		err := a.DB.Read(ctx, func(tx *store.Tx) error {
			return auditRows(tx, entries, auditPage, func(seq int64, text, sum string) error {
				switch {
				case seq != entries+1:
					return fmt.Errorf("audit: entry %d is missing", entries+1)
				case !a.holds(seq, last, text, sum) && len(a.SealKey) > 0 && a.sumUnder(nil, seq, last, text) == sum:
					return fmt.Errorf("audit: entry %d was written without a seal key; keys reseal would seal it", seq)
				case !a.holds(seq, last, text, sum):
					return fmt.Errorf("audit: entry %d is not as it was written", seq)
				}
				entries, last, more = seq, sum, true
				return nil
			})
		})
		if err != nil {
			return entries, err
		}
	}
	err = a.DB.Read(ctx, func(tx *store.Tx) error {
		var seq int64
		var sum string
		if err := tx.QueryRow(`SELECT seq, sum FROM audit_head WHERE id = 1`).Scan(&seq, &sum); err != nil {
			return err
		}
		if seq < entries { // some were added meanwhile
			return nil
		}
		if seq > entries || sum != last {
			return fmt.Errorf("audit: entries after %d are missing", entries)
		}
		return nil
	})
	return entries, err
}

func auditRows(tx *store.Tx, after int64, limit int, f func(seq int64, text, sum string) error) error {
	rows, err := tx.Query(`SELECT seq, entry, sum FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var text, sum string
		if err := rows.Scan(&seq, &text, &sum); err != nil {
			return err
		}
		if err := f(seq, text, sum); err != nil {
			return err
		}
	}
	return rows.Err()
}
