package matchmaking

import "github.com/matchyard/matchyard/internal/store"

const ruleSetColumns = `key, name, body, created_at`

func scanRuleSet(row store.Scanner) (r ruleSet, err error) {
	err = row.Scan(&r.key, &r.name, &r.body, &r.created)
	return r, err
}

var scanRuleSets = store.All(scanRuleSet)

// ruleSetByName reads a rule set; store.ErrNoRows when there is none.
func ruleSetByName(tx *store.Tx, name, lock string) (ruleSet, error) {
	return scanRuleSet(tx.QueryRow(`SELECT `+ruleSetColumns+` FROM matchmaking_ruleset WHERE name = $1`+lock, name))
}

func ruleSetBody(tx *store.Tx, key store.Key) (body string, err error) {
	err = tx.QueryRow(`SELECT body FROM matchmaking_ruleset WHERE key = $1`, key).Scan(&body)
	return body, err
}

// pageOfRuleSets reads rule sets in the order of their keys: all, or those with the names.
func pageOfRuleSets(tx *store.Tx, names []string, after store.Key, limit int) ([]ruleSet, error) {
	where, args := `WHERE key > $1`, []any{after, limit}
	if names != nil {
		where, args = where+` AND `+tx.In("name", 3), append(args, store.List(tx, names))
	}
	return scanRuleSets(tx.Query(`SELECT `+ruleSetColumns+` FROM matchmaking_ruleset `+where+` ORDER BY key LIMIT $2`, args...))
}

// insertRuleSet writes a new rule set. ok is false when its name is taken.
func insertRuleSet(tx *store.Tx, r ruleSet) (ok bool, err error) {
	n, err := tx.Exec(`INSERT INTO matchmaking_ruleset (key, name, body, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		r.key, r.name, r.body, r.created)
	return n == 1, err
}

func removeRuleSet(tx *store.Tx, key store.Key) error {
	_, err := tx.Exec(`DELETE FROM matchmaking_ruleset WHERE key = $1`, key)
	return err
}

// takeQuota counts one more thing of a kind, unless there are as many as there may be. Call
// it last in a transaction: all creations of the kind wait for each other here.
func takeQuota(tx *store.Tx, kind string, limit int) (ok bool, err error) {
	n, err := tx.Exec(`UPDATE matchmaking_quota SET used = used + 1 WHERE name = $1 AND used < $2`, kind, limit)
	return n == 1, err
}

func giveQuota(tx *store.Tx, kind string) error {
	_, err := tx.Exec(`UPDATE matchmaking_quota SET used = used - 1 WHERE name = $1`, kind)
	return err
}
