package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A dump is lines of JSON: a header; for each table its name and columns, then its rows as
// lists, in the order of its primary key; and an end with the number of rows and the SHA-256
// of everything before it. Tables stand behind those they refer to. Two databases with the
// same content have the same dump, byte for byte, whichever kind they are.
const (
	dumpFormat  = "dump"
	dumpVersion = 1
	longestLine = 256 << 20 // bytes
	restoreRows = 256       // in one statement
)

// leftOut are the tables that say which processes are at work now, and the list of
// migrations, which is the header.
var leftOut = []string{"lease", "migration", "node"}

// ErrNotEmpty is returned (wrapped) by Restore for a database that has tables.
var ErrNotEmpty = errors.New("the database is not empty")

// Dumped is what a dump holds.
type Dumped struct {
	Migrations []string
	Tables     int
	Rows       int64
	Sum        string // SHA-256, hexadecimal
}

type dumpHeader struct {
	Matchyard  string   `json:"matchyard"`
	Version    int      `json:"version"`
	Migrations []string `json:"migrations"`
}

type dumpTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type dumpEnd struct {
	Rows *int64 `json:"rows"`
	Sum  string `json:"sha256"`
}

// bare is a value that JSON text cannot hold: bytes, or text that is not UTF-8.
type bare struct {
	Hex  string `json:"hex"`
	Text bool   `json:"text,omitempty"`
}

// Dump writes everything the database holds, as of one instant, while others go on reading
// and writing. It holds no more of it in memory than a row.
func (db *DB) Dump(ctx context.Context, w io.Writer) (d Dumped, err error) {
	err = db.Read(ctx, func(tx *Tx) error {
		d, err = dump(tx, w)
		return err
	})
	return d, err
}

// DumpAt is Dump for a database that this process does not have open. It is left as it is:
// what an older server uses is not brought up to date.
func DumpAt(ctx context.Context, url string, o Options, w io.Writer) (d Dumped, err error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return Dumped{}, err
		}
	}
	db, err := connect(ctx, url, o)
	if err != nil {
		return Dumped{}, err
	}
	d, err = db.Dump(ctx, w)
	return d, errors.Join(err, db.disconnect())
}

func dump(tx *Tx, w io.Writer) (Dumped, error) {
	all, err := schema(tx)
	if err != nil {
		return Dumped{}, err
	}
	if len(all) == 0 {
		return Dumped{}, errors.New("there is nothing to dump: the database has no tables")
	}
	done, err := applied(tx)
	if err != nil {
		return Dumped{}, err
	}
	d := Dumped{Migrations: []string{}}
	for name := range done {
		d.Migrations = append(d.Migrations, name)
	}
	slices.Sort(d.Migrations)
	sum := sha256.New()
	buffer := bufio.NewWriterSize(w, 1<<16)
	out := io.MultiWriter(sum, buffer)
	if err := writeLine(out, dumpHeader{dumpFormat, dumpVersion, d.Migrations}); err != nil {
		return d, err
	}
	for _, t := range all {
		if err := t.dump(tx, out, &d.Rows); err != nil {
			return d, fmt.Errorf("table %s: %w", t.name, err)
		}
		d.Tables++
	}
	d.Sum = hex.EncodeToString(sum.Sum(nil))
	if err := writeLine(buffer, dumpEnd{&d.Rows, d.Sum}); err != nil {
		return d, err
	}
	return d, buffer.Flush()
}

func writeLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// dump writes a table, and adds to the number of rows.
func (t table) dump(tx *Tx, w io.Writer, count *int64) error {
	if err := writeLine(w, dumpTable{t.name, t.columns}); err != nil {
		return err
	}
	rows, err := tx.Query(`SELECT ` + quoted(t.columns) + ` FROM "` + t.name + `" ORDER BY ` + strings.Join(t.order, ", "))
	if err != nil {
		return err
	}
	defer rows.Close()
	row, to := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range row {
		to[i] = &row[i]
	}
	var line []byte
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		if line, err = appendRow(line[:0], row); err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		*count++
	}
	return rows.Err()
}

func appendRow(line []byte, row []any) ([]byte, error) {
	line = append(line, '[')
	for i, v := range row {
		if i > 0 {
			line = append(line, ',')
		}
		if n, ok := v.(int64); ok {
			line = strconv.AppendInt(line, n, 10)
			continue
		}
		cell, err := cellOf(v)
		if err != nil {
			return nil, err
		}
		line = append(line, cell...)
	}
	return append(line, "]\n"...), nil
}

func cellOf(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return []byte("null"), nil
	case string:
		if utf8.ValidString(v) {
			return json.Marshal(v)
		}
		return json.Marshal(bare{hex.EncodeToString([]byte(v)), true})
	case []byte:
		return json.Marshal(bare{Hex: hex.EncodeToString(v)})
	}
	return nil, fmt.Errorf("a column holds a %T, which dumps do not know", v)
}

// CheckDump reads a dump to its end and tells whether it is whole.
func CheckDump(r io.Reader) (Dumped, error) {
	in := newDumpReader(r)
	header, err := in.header()
	if err != nil {
		return Dumped{}, err
	}
	for {
		t, row, err := in.next()
		if err != nil {
			return in.dumped, err
		}
		if t == nil && row == nil {
			in.dumped.Migrations = header.Migrations
			return in.dumped, nil
		}
	}
}

// dumpReader reads a dump and checks it.
type dumpReader struct {
	lines  *bufio.Reader
	sum    hash.Hash
	in     bool // a table
	width  int  // of its rows
	dumped Dumped
}

func newDumpReader(r io.Reader) *dumpReader {
	return &dumpReader{lines: bufio.NewReaderSize(r, 1<<16), sum: sha256.New()}
}

var errCutShort = errors.New("the dump is cut short")

// line is the next line, which must be there.
func (in *dumpReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := in.lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > longestLine {
			return nil, errors.New("this is no dump: a line has no end")
		}
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, errCutShort
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (in *dumpReader) header() (h dumpHeader, err error) {
	line, err := in.line()
	if err != nil {
		return h, err
	}
	if err := strict(line, &h); err != nil || h.Matchyard != dumpFormat {
		return h, errors.New("this is no dump of a control plane")
	}
	if h.Version != dumpVersion {
		return h, fmt.Errorf("the dump is of version %d, and this program reads version %d", h.Version, dumpVersion)
	}
	in.sum.Write(line)
	return h, nil
}

// next is the next table or row; neither at the end, when the whole was found good.
func (in *dumpReader) next() (*dumpTable, []any, error) {
	line, err := in.line()
	if err != nil {
		return nil, nil, err
	}
	if line[0] == '[' && in.in {
		row, err := parseRow(line, in.width)
		if err != nil {
			return nil, nil, err
		}
		in.sum.Write(line)
		in.dumped.Rows++
		return nil, row, nil
	}
	var t dumpTable
	if strict(line, &t) == nil && t.Table != "" && len(t.Columns) > 0 {
		in.sum.Write(line)
		in.in, in.width = true, len(t.Columns)
		in.dumped.Tables++
		return &t, nil, nil
	}
	var end dumpEnd
	if strict(line, &end) != nil || end.Rows == nil {
		return nil, nil, fmt.Errorf("the dump is damaged: row %d is not one", in.dumped.Rows+1)
	}
	in.dumped.Sum = hex.EncodeToString(in.sum.Sum(nil))
	if *end.Rows != in.dumped.Rows || end.Sum != in.dumped.Sum {
		return nil, nil, errors.New("the dump is damaged: its checksum is wrong")
	}
	if _, err := in.lines.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("the dump is damaged: there is something behind its end")
	}
	return nil, nil, nil
}

func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func parseRow(line []byte, width int) ([]any, error) {
	var cells []json.RawMessage
	if err := json.Unmarshal(line, &cells); err != nil || len(cells) != width {
		return nil, errors.New("the dump is damaged: a row has not its table's columns")
	}
	row := make([]any, width)
	for i, c := range cells {
		v, err := parseCell(c)
		if err != nil {
			return nil, fmt.Errorf("the dump is damaged: %w", err)
		}
		row[i] = v
	}
	return row, nil
}

func parseCell(c json.RawMessage) (any, error) {
	switch c[0] {
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := json.Unmarshal(c, &s)
		return s, err
	case '{':
		var b bare
		if err := strict(c, &b); err != nil {
			return nil, err
		}
		raw, err := hex.DecodeString(b.Hex)
		if b.Text {
			return string(raw), err
		}
		return raw, err
	}
	return strconv.ParseInt(string(c), 10, 64)
}

// Restore fills the database of url from a dump and then brings it up to date. It takes only
// a database without tables (ErrNotEmpty), and a dump of this version or an older one. When
// it fails, the database has no tables as before. Nobody else may have it open.
func Restore(ctx context.Context, url string, o Options, r io.Reader) (d Dumped, err error) {
	db, err := connect(ctx, url, o)
	if err != nil {
		return Dumped{}, err
	}
	read := false
	err = db.writeOnce(ctx, db.backend, nil, func(tx *Tx) error {
		if read {
			return errors.New("the database failed the transaction, and the dump cannot be read twice")
		}
		read = true
		d, err = restore(tx, newDumpReader(r))
		return err
	})
	return d, errors.Join(err, db.disconnect())
}

func restore(tx *Tx, in *dumpReader) (d Dumped, err error) {
	header, err := in.header()
	if err != nil {
		return d, err
	}
	if err := migrateTo(tx, header.Migrations); err != nil {
		return d, err
	}
	all, err := schema(tx)
	if err != nil {
		return d, err
	}
	for _, t := range slices.Backward(all) { // migrations made rows too
		if _, err := tx.Exec(`DELETE FROM "` + t.name + `"`); err != nil {
			return d, err
		}
	}
	if err := fill(tx, in, all); err != nil {
		return d, err
	}
	for _, name := range migrationNames() {
		if !slices.Contains(header.Migrations, name) {
			if err := apply(tx, name); err != nil {
				return d, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	in.dumped.Migrations = header.Migrations
	return in.dumped, nil
}

// migrateTo gives an empty database the tables of the version that had these migrations.
func migrateTo(tx *Tx, names []string) error {
	if err := lockMigrations(tx); err != nil {
		return err
	}
	found, err := tableNames(tx)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%w: it has the table %s", ErrNotEmpty, found[0])
	}
	if _, err := tx.Exec(migrationTable); err != nil {
		return err
	}
	known := migrationNames()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("the dump is of a newer version: this program does not know %s", name)
		}
		if err := apply(tx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// fill inserts the rows of a dump, which must have all tables, in their order.
func fill(tx *Tx, in *dumpReader, all []table) error {
	var insert string
	var rows [][]any
	flush := func() error {
		err := tx.InsertMany(insert, rows)
		rows = rows[:0]
		return err
	}
	for {
		t, row, err := in.next()
		if err != nil {
			return err
		}
		if row != nil {
			if rows = append(rows, row); len(rows) < restoreRows {
				continue
			}
		}
		if err := flush(); err != nil {
			return fmt.Errorf("before row %d of the dump: %w", in.dumped.Rows+1, err)
		}
		switch {
		case t != nil:
			if len(all) == 0 || all[0].name != t.Table || !slices.Equal(all[0].columns, t.Columns) {
				return fmt.Errorf("the dump's table %s is not one of the version it says it is of", t.Table)
			}
			marks := values(1, len(t.Columns))
			insert, all = `INSERT INTO "`+t.Table+`" (`+quoted(t.Columns)+`) `+marks, all[1:]
		case row == nil && len(all) > 0:
			return fmt.Errorf("the dump lacks the table %s", all[0].name)
		case row == nil:
			return nil
		}
	}
}

// table is a table as a dump has it.
type table struct {
	name    string
	columns []string // by name
	order   []string // the primary key, as ORDER BY wants it
	refers  []string // other tables
}

// schema is all tables but those left out, each behind those it refers to.
func schema(tx *Tx) ([]table, error) {
	names, err := tableNames(tx)
	if err != nil {
		return nil, err
	}
	var waiting []table
	for _, name := range names {
		if slices.Contains(leftOut, name) {
			continue
		}
		t, err := describe(tx, name)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
		waiting = append(waiting, t)
	}
	var all []table
	for len(waiting) > 0 {
		i := slices.IndexFunc(waiting, func(t table) bool {
			return !slices.ContainsFunc(waiting, func(o table) bool { return o.name != t.name && slices.Contains(t.refers, o.name) })
		})
		if i < 0 {
			return nil, fmt.Errorf("table %s refers to itself through others", waiting[0].name)
		}
		all = append(all, waiting[i])
		waiting = slices.Delete(waiting, i, i+1)
	}
	return all, nil
}

// What a dump asks of a database's catalogue: the names of tables; of one table its columns
// with their place in the primary key and whether they are text; and the tables it refers to.
var catalogue = map[Dialect]struct{ tables, columns, refers, collate string }{
	SQLite: {
		tables:  `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name`,
		columns: `SELECT name, pk, CASE WHEN type = 'TEXT' THEN 1 ELSE 0 END FROM pragma_table_info($1) ORDER BY name`,
		refers:  `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1) ORDER BY 1`,
	},
	Postgres: {
		tables: `SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
			ORDER BY relname::text COLLATE "C"`,
		columns: `SELECT a.attname::text, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)::bigint,
				CASE WHEN a.atttypid = 'text'::regtype THEN 1 ELSE 0 END::bigint
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
			WHERE c.relname = $1 AND c.relnamespace = current_schema()::regnamespace ORDER BY a.attname::text COLLATE "C"`,
		refers: `SELECT DISTINCT f.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
			WHERE k.contype = 'f' AND c.relname = $1 AND c.relnamespace = current_schema()::regnamespace ORDER BY 1`,
		collate: ` COLLATE "C"`, // by bytes, as SQLite does
	},
}

func tableNames(tx *Tx) ([]string, error) { return texts(tx, catalogue[tx.Dialect()].tables) }

func describe(tx *Tx, name string) (table, error) {
	t := table{name: name}
	ask := catalogue[tx.Dialect()]
	rows, err := tx.Query(ask.columns, name)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	key := map[int64]string{}
	for rows.Next() {
		var column string
		var place, text int64
		if err := rows.Scan(&column, &place, &text); err != nil {
			return t, err
		}
		t.columns = append(t.columns, column)
		if place > 0 {
			key[place] = `"` + column + `"` + strings.Repeat(ask.collate, int(text))
		}
	}
	if err := rows.Err(); err != nil {
		return t, err
	}
	rows.Close()
	for i := range int64(len(key)) {
		t.order = append(t.order, key[i+1])
	}
	if len(t.order) == 0 {
		return t, errors.New("it has no primary key, so that its rows have no order")
	}
	t.refers, err = texts(tx, ask.refers, name)
	return t, err
}

func texts(tx *Tx, query string, args ...any) (list []string, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

func quoted(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }
