package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/matchyard/matchyard/internal/event"
)

// filer appends events to a file, a line each, synced before they count as delivered. When
// the file at its path is no longer the one it has open, it opens that: rotation needs no
// signal.
type filer struct {
	path string
	file *os.File
}

func (f *filer) send(_ context.Context, batch []event.Entry) []error {
	err := f.write(batch)
	errs := make([]error, len(batch))
	if err != nil {
		for i := range errs {
			errs[i] = &failure{reason: err.Error(), down: unreachable}
		}
	}
	return errs
}

func (f *filer) write(batch []event.Entry) error {
	if err := f.open(); err != nil {
		return err
	}
	end, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	var lines []byte
	for _, e := range batch {
		lines = append(append(lines, e.Body...), '\n')
	}
	_, err = f.file.Write(lines)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		// What was written of these lines goes, since they will be written again.
		return errors.Join(err, f.file.Truncate(end))
	}
	return nil
}

// open sees to it that the file open is the one at the path, and ends with a whole line.
func (f *filer) open() error {
	at, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && f.file != nil {
		if have, err := f.file.Stat(); err == nil && os.SameFile(at, have) {
			return nil
		}
	}
	f.close()
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if err := endLine(file); err != nil {
		_ = file.Close()
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.file = file
	return nil
}

// endLine ends a line that was cut off, as by a loss of power: its event follows again.
func endLine(file *os.File) error {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = file.Write([]byte{'\n'})
	return err
}

func (f *filer) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}
