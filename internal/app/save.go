package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/store"
)

// Save writes everything the database of the server with that configuration holds, as of one
// instant and be the server running or not: a file for Load. An SQLite database that a server
// has open is saved by that server. The files of builds, scripts and logs are not in it, nor
// the seal key.
func Save(ctx context.Context, c config.Config, w io.Writer) (store.Dumped, error) {
	if dir := c.Folder(); dir != "" {
		body, err := newRemoteKeyring(filepath.Join(dir, socketName)).save(ctx)
		if err != nil {
			return store.Dumped{}, err
		}
		if body != nil {
			d, err := store.CheckDump(io.TeeReader(body, w))
			return d, errors.Join(err, body.Close())
		}
	}
	return store.DumpAt(ctx, c.StoreURL(), storeOptions(c), w)
}

// Load fills the empty database of the server with that configuration, which must not run.
func Load(ctx context.Context, c config.Config, r io.Reader) (store.Dumped, error) {
	return store.Restore(ctx, c.StoreURL(), storeOptions(c), r)
}

func storeOptions(c config.Config) store.Options {
	if c.Logger == nil {
		return store.Options{Logger: slog.Default()}
	}
	return store.Options{Logger: c.Logger}
}

// saveHandler adds to the socket what Save asks of a server.
func saveHandler(mux *http.ServeMux, db *store.DB, logger *slog.Logger) {
	mux.HandleFunc("GET /save", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		if _, err := db.Dump(r.Context(), w); err != nil {
			logger.Error("not saved", slog.Any("error", err))
			panic(http.ErrAbortHandler) // part of it may be on its way
		}
	})
}

// save is what the server says, or nil when none listens there.
func (k *remoteKeyring) save(ctx context.Context) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/save", http.NoBody)
	if err != nil {
		return nil, err
	}
	patient := http.Client{Transport: k.client.Transport} // it takes as long as it takes
	answer, err := patient.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, nil //nolint:nilnil // no server has the database open
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the running server answers %s; is it of an older version?", answer.Status), answer.Body.Close())
	}
	return answer.Body, nil
}
