package matchmaking

import (
	"encoding/json"
	"fmt"

	"github.com/matchyard/matchyard/internal/store"
)

const selectConfiguration = `SELECT c.key, c.name, c.version, c.detail, c.created_at, c.ruleset, r.name
	FROM matchmaking_configuration c JOIN matchmaking_ruleset r ON r.key = c.ruleset `

func scanConfiguration(row store.Scanner) (c configuration, err error) {
	var text string
	var created int64
	if err := row.Scan(&c.Key, &c.Name, &c.Version, &text, &created, &c.RuleSetKey, &c.RuleSet); err != nil {
		return configuration{}, err
	}
	c.CreatedAt = stamp(created)
	if err := json.Unmarshal([]byte(text), &c.detail); err != nil {
		return configuration{}, fmt.Errorf("detail of matchmaking configuration %s: %w", c.Name, err)
	}
	return c, nil
}

var scanConfigurations = store.All(scanConfiguration)

// forUpdateOf locks the configuration alone, and not its rule set.
func forUpdateOf(tx *store.Tx) string {
	if lock := tx.ForUpdate(); lock != "" {
		return lock + " OF c"
	}
	return ""
}

// forKeyShareOf keeps the configuration from being deleted or locked for update until the
// end of the transaction; any number may hold it so.
func forKeyShareOf(tx *store.Tx) string {
	if tx.Dialect() == store.Postgres {
		return " FOR KEY SHARE OF c"
	}
	return ""
}

// configurationByName reads a configuration; store.ErrNoRows when there is none.
func configurationByName(tx *store.Tx, name, lock string) (configuration, error) {
	return scanConfiguration(tx.QueryRow(selectConfiguration+`WHERE c.name = $1`+lock, name))
}

func configurationByKey(tx *store.Tx, key store.Key) (configuration, error) {
	return scanConfiguration(tx.QueryRow(selectConfiguration+`WHERE c.key = $1`, key))
}

func allConfigurations(tx *store.Tx) ([]configuration, error) {
	return scanConfigurations(tx.Query(selectConfiguration + `ORDER BY c.key`))
}

// pageOfConfigurations reads configurations in the order of their keys: all, those with the
// names, those that use a rule set, or those with both.
func pageOfConfigurations(tx *store.Tx, names []string, ruleSet *store.Key, after store.Key, limit int) ([]configuration, error) {
	where, args := `WHERE c.key > $1`, []any{after, limit}
	if names != nil {
		args = append(args, store.List(tx, names))
		where += ` AND ` + tx.In("c.name", len(args))
	}
	if ruleSet != nil {
		args = append(args, *ruleSet)
		where += fmt.Sprintf(` AND c.ruleset = $%d`, len(args))
	}
	return scanConfigurations(tx.Query(selectConfiguration+where+` ORDER BY c.key LIMIT $2`, args...))
}

// insertConfiguration writes a new configuration. ok is false when its name is taken.
func insertConfiguration(tx *store.Tx, c configuration) (ok bool, err error) {
	text, err := json.Marshal(c.detail)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(`INSERT INTO matchmaking_configuration (key, name, ruleset, version, detail, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, c.Key, c.Name, c.RuleSetKey, c.Version, string(text), c.CreatedAt.UnixMilli())
	return n == 1, err
}

func saveConfiguration(tx *store.Tx, c configuration) error {
	text, err := json.Marshal(c.detail)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE matchmaking_configuration SET ruleset = $2, version = $3, detail = $4 WHERE key = $1`,
		c.Key, c.RuleSetKey, c.Version, string(text))
	return err
}

func removeConfiguration(tx *store.Tx, key store.Key) error {
	_, err := tx.Exec(`DELETE FROM matchmaking_configuration WHERE key = $1`, key)
	return err
}
