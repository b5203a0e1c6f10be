package build

import (
	"errors"
	"fmt"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// What has a quota (hosting.md 8.2).
const (
	quotaBuilds      = "build"
	quotaBuildBytes  = "build bytes"
	quotaScripts     = "script"
	quotaScriptBytes = "script bytes"
)

// QuotaError says that a quota is used up.
type QuotaError struct{ text string }

// Error names the quota.
func (e *QuotaError) Error() string { return e.text }

// limit is the quota of a thing, and what it is called.
func (s *Service) limit(name string) (limit int64, called string) {
	c := s.Config.orDefaults()
	switch name {
	case quotaBuilds:
		return int64(c.Builds), "builds"
	case quotaBuildBytes:
		return c.BuildBytes, "bytes of all builds"
	case quotaScripts:
		return int64(c.Scripts), "scripts"
	default:
		return c.ScriptBytes, "bytes of all scripts"
	}
}

// takeTx counts n more of a thing, or fails with a *QuotaError; less always goes. Call it last in a
// transaction: all that take of a kind wait for each other here.
func (s *Service) takeTx(tx *store.Tx, name string, n int64) error {
	limit, called := s.limit(name)
	changed, err := tx.Exec(`UPDATE build_quota SET used = used + $2 WHERE name = $1 AND (used + $2 <= $3 OR $2 <= 0)`, name, n, limit)
	if err == nil && changed == 0 {
		err = &QuotaError{fmt.Sprintf("the quota of %d for %s is used up", limit, called)}
	}
	return err
}

// giveTx counts n less. Call it last, as takeTx.
func giveTx(tx *store.Tx, name string, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE build_quota SET used = used - $2 WHERE name = $1`, name, n)
	return err
}

// roomTx tells, without taking anything, whether there is room for n more.
func (s *Service) roomTx(tx *store.Tx, name string, n int64) error {
	limit, called := s.limit(name)
	var used int64
	err := tx.QueryRow(`SELECT used FROM build_quota WHERE name = $1`, name).Scan(&used)
	if err == nil && (n > limit || used > limit-n) {
		err = &QuotaError{fmt.Sprintf("the quota of %d for %s is used up", limit, called)}
	}
	return err
}

// asRequest makes a used-up quota the error that operations here declare: none has
// LimitExceededException (hosting.md 1.2).
func asRequest(err error) error {
	if e, ok := errors.AsType[*QuotaError](err); ok {
		return apierr.InvalidRequest("%s", e.text)
	}
	return err
}
