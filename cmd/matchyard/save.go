package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/matchyard/matchyard/internal/app"
	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/store"
)

// saveCmd writes a server's database to a file, and loadCmd reads it.
type saveCmd struct {
	keysFlags
	To string `arg:"" name:"file" help:"The file; - for standard output. One whose name ends in .gz is compressed. It holds secrets: the owner alone can read it."`
}

// Run makes the file only when all of it is written.
func (s *saveCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	c, err := s.config(parsed)
	if err != nil {
		return err
	}
	// Opening a database makes it, and a backup of nothing is none.
	if path, ok := strings.CutPrefix(c.StoreURL(), "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("there is no database: %w", err)
		}
	}
	if s.To == "-" {
		_, err := app.Save(ctx, c, out)
		return err
	}
	f, err := os.OpenFile(s.To+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(s.To + ".part") }() // not there when all went well
	var w io.Writer = f
	end := func() error { return nil }
	if strings.HasSuffix(s.To, ".gz") {
		z := gzip.NewWriter(f)
		w, end = z, z.Close
	}
	d, err := app.Save(ctx, c, w)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(end(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(s.To+".part", s.To); err != nil {
		return err
	}
	return printDumped(out, "saved", d)
}

type loadCmd struct {
	keysFlags
	From string `arg:"" name:"file" help:"The file; - for standard input."`
}

func (l *loadCmd) Run(ctx context.Context, parsed *cli.Context, out *stdout) error {
	c, err := l.config(parsed)
	if err != nil {
		return err
	}
	f := os.Stdin
	if l.From != "-" {
		if f, err = os.Open(l.From); err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
	}
	r := bufio.NewReader(f)
	var text io.Reader = r
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if text, err = gzip.NewReader(r); err != nil {
			return err
		}
	}
	d, err := app.Load(ctx, c, text)
	if errors.Is(err, store.ErrNotEmpty) {
		return fmt.Errorf("%w: give a new --data folder, or a new database by --store", err)
	}
	if err != nil {
		return err
	}
	return printDumped(out, "loaded", d)
}

func printDumped(out *stdout, what string, d store.Dumped) error {
	_, err := fmt.Fprintf(out, "%s %d rows of %d tables, sha256 %s\n", what, d.Rows, d.Tables, d.Sum)
	return err
}
