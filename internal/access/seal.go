package access

import (
	"context"
	"fmt"

	"github.com/matchyard/matchyard/internal/seal"
	"github.com/matchyard/matchyard/internal/store"
)

// SealKeySize is the size of Service.SealKey.
const SealKeySize = seal.KeySize

const purpose = "matchyard access key secrets 1"

// Ring are the keys that secrets are stored under.
func (s *Service) Ring() seal.Ring { return seal.Ringed(s.SealKey, s.OldSealKeys...) }

// seal makes the stored form of a secret. It is bound to the key's id: a sealed secret
// moved to another row does not open.
func (s *Service) seal(id string, secret Secret) (string, error) {
	return s.Ring().Close(purpose, id, string(secret))
}

// open is the inverse of seal.
func (s *Service) open(id, stored string) (Secret, error) {
	secret, _, err := s.Ring().Open(purpose, id, stored)
	if err != nil {
		return "", fmt.Errorf("secret of access key %s: %w", id, err)
	}
	return Secret(secret), nil
}

// Resealed is what Reseal did.
type Resealed struct {
	Secrets  int   // that were stored plain, or under an old seal key
	Entries  int64 // of the audit log that were chained under an old seal key
	Unsealed int64 // of the audit log that were chained under none
}

// Reseal stores every secret under the seal key which is under none or an old one, and
// chains the audit log anew under it, all or nothing. Then the old ones can be forgotten. An
// audit log that does not hold is left as it is, and with it everything else.
func (s *Service) Reseal(ctx context.Context) (done Resealed, err error) {
	if len(s.SealKey) == 0 {
		return done, fmt.Errorf("reseal: %w", errNoSealKey)
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		done = Resealed{}
		if s.Audit != nil {
			if err := s.Audit.resealTx(tx, &done); err != nil {
				return err
			}
		}
		var rows []row
		if err := each(tx, `ORDER BY id`+tx.ForUpdate(), nil, func(r row) { rows = append(rows, r) }); err != nil {
			return err
		}
		for _, r := range rows {
			secret, stale, err := s.Ring().Open(purpose, r.ID, r.stored)
			if err != nil {
				return fmt.Errorf("secret of access key %s: %w", r.ID, err)
			}
			if !stale {
				continue
			}
			stored, err := s.seal(r.ID, Secret(secret))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE access_key SET secret = $2 WHERE id = $1`, r.ID, stored); err != nil {
				return err
			}
			done.Secrets++
		}
		if done == (Resealed{}) {
			return nil
		}
		return s.auditTx(tx, "keys:Reseal", "", "")
	})
	return done, err
}

// resealTx chains the log anew under the seal key.
func (a *Audit) resealTx(tx *store.Tx, done *Resealed) error {
	var end int64
	var endSum string
	if err := tx.QueryRow(`SELECT seq, sum FROM audit_head WHERE id = 1`+tx.ForUpdate()).Scan(&end, &endSum); err != nil {
		return err
	}
	var seq int64
	last, fresh := "", "" // of the chain as it is, and as it will be
	for more := true; more; {
		more = false
		type changed struct {
			seq int64
			sum string
		}
		var changes []changed
		err := auditRows(tx, seq, auditPage, func(n int64, text, sum string) error {
			if n != seq+1 {
				return fmt.Errorf("audit: entry %d is missing", seq+1)
			}
			seq, more = n, true
			switch {
			case a.sumUnder(a.SealKey, n, last, text) == sum:
			case a.holds(n, last, text, sum):
				done.Entries++
			case a.sumUnder(nil, n, last, text) == sum:
				done.Unsealed++
			default:
				return fmt.Errorf("audit: entry %d is not as it was written", n)
			}
			last, fresh = sum, a.sum(n, fresh, text)
			if fresh != sum {
				changes = append(changes, changed{n, fresh})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, c := range changes {
			if _, err := tx.Exec(`UPDATE audit SET sum = $2 WHERE seq = $1`, c.seq, c.sum); err != nil {
				return err
			}
		}
	}
	if seq != end || last != endSum {
		return fmt.Errorf("audit: entries after %d are missing", seq)
	}
	_, err := tx.Exec(`UPDATE audit_head SET sum = $1 WHERE id = 1`, fresh)
	return err
}
