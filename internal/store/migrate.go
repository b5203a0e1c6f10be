package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the advisory lock under which PostgreSQL migrates, one node at a time.
const migrationLock = 0x6d61746368 // "match"

const migrationTable = `CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_at BIGINT NOT NULL)`

// rowid finds the integer key of a table. SQLite stores a table by it, instead of by a
// hidden number with an index beside, only when its type is spelt INTEGER, which on
// PostgreSQL is too small.
var rowid = regexp.MustCompile(`\bBIGINT( NOT NULL)? PRIMARY KEY`)

// migrate applies every file of migrations/ that this database has not seen, in name
// order, each in one transaction. Statements end with a semicolon at a line's end. A column
// that is "BIGINT PRIMARY KEY" is what SQLite stores its table by. Nodes that start
// together wait for each other.
func (db *DB) migrate(ctx context.Context) error {
	var done map[string]bool
	if err := db.write(ctx, nil, func(tx *Tx) (err error) {
		if err := lockMigrations(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(migrationTable); err != nil {
			return err
		}
		done, err = applied(tx)
		return err
	}); err != nil {
		return err
	}
	for _, name := range migrationNames() {
		if done[name] {
			continue
		}
		if err := db.write(ctx, nil, func(tx *Tx) error { return apply(tx, name) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// migrationNames are the names of all migrations, in their order.
func migrationNames() []string {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is good
	}
	return names
}

// applied are the names of the migrations this database has seen.
func applied(tx *Tx) (map[string]bool, error) {
	rows, err := tx.Query(`SELECT name FROM migration ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	done := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		done[name] = true
	}
	return done, rows.Err()
}

func lockMigrations(tx *Tx) error {
	if tx.Dialect() == SQLite {
		return nil // the file is ours alone
	}
	_, err := tx.Exec(`SELECT pg_advisory_xact_lock($1)`, migrationLock)
	return err
}

// apply runs a migration unless another node did meanwhile.
func apply(tx *Tx, name string) error {
	text, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	if err := lockMigrations(tx); err != nil {
		return err
	}
	var at int64
	err = tx.QueryRow(`SELECT applied_at FROM migration WHERE name = $1`, name).Scan(&at)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrNoRows) {
		return err
	}
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if tx.Dialect() == SQLite {
			statement = rowid.ReplaceAllString(statement, "INTEGER PRIMARY KEY")
		}
		if _, err := tx.Exec(statement); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(statement), err)
		}
	}
	_, err = tx.Exec(`INSERT INTO migration (name, applied_at) VALUES ($1, $2)`, name, tx.NowMs())
	return err
}
