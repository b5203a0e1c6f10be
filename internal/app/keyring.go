package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/store"
)

// An SQLite database belongs to one process. While that is a server, keys and hosts are
// managed through it: by a socket in its folder, which only the folder's owner reaches.
const socketName = "keys.sock"

// Keyring manages the access keys of a server, be it running or not.
type Keyring interface {
	Create(ctx context.Context, name, policy string) (access.Credentials, error)
	List(ctx context.Context) ([]access.Key, error)
	Revoke(ctx context.Context, id string) error
	Rotate(ctx context.Context, id string, overlap time.Duration) (access.Credentials, error)
	// Reseal stores all secrets under the first seal key, and chains the audit log under it.
	Reseal(ctx context.Context) (access.Resealed, error)
	// Entries are those of the audit log after a number, and Verify its check.
	Entries(ctx context.Context, after int64, limit int) ([]access.Logged, error)
	Verify(ctx context.Context) (entries int64, err error)
}

// localKeyring is the Keyring of a database that this process has open.
type localKeyring struct{ *access.Service }

func (k localKeyring) Entries(ctx context.Context, after int64, limit int) ([]access.Logged, error) {
	return k.Audit.List(ctx, after, limit)
}

func (k localKeyring) Verify(ctx context.Context) (int64, error) { return k.Audit.Verify(ctx) }

func (k localKeyring) Reseal(ctx context.Context) (access.Resealed, error) {
	done, err := k.Service.Reseal(ctx)
	if err != nil {
		return done, err
	}
	links, err := (&build.Service{DB: k.DB, Seal: k.Ring()}).Reseal(ctx)
	if links {
		done.Secrets++
	}
	return done, err
}

// OpenKeyring reaches the keys of the server with that configuration. Call done at the end.
func OpenKeyring(ctx context.Context, c config.Config) (k Keyring, done func() error, err error) {
	if dir := c.Folder(); dir != "" {
		remote := newRemoteKeyring(filepath.Join(dir, socketName))
		if remote.answers(ctx) {
			return remote, func() error { return nil }, nil
		}
	}
	logger := c.Logger
	if logger == nil {
		logger = slog.Default()
	}
	db, err := store.Open(ctx, c.StoreURL(), store.Options{Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	keys, err := accessRoom(db, c)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return localKeyring{keys}, db.Close, nil
}

// openKeySocket listens in the server's folder, if it has one. A name too long for a socket
// and the like only cost the convenience.
func (a *App) openKeySocket(ctx context.Context) {
	dir := a.config.Folder()
	if dir == "" || a.db.Dialect() != store.SQLite {
		return
	}
	name := filepath.Join(dir, socketName)
	// The database is ours, so whoever made the file is gone.
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.logger.Warn("keys cannot be managed while this server runs", slog.Any("error", err))
		return
	}
	l, err := listenPrivately(ctx, name)
	if err != nil {
		a.logger.Warn("keys cannot be managed while this server runs", slog.Any("error", err))
		return
	}
	a.keySocket = l
}

// listenPrivately makes a socket that only its owner can use. It is made in a folder that
// only the owner can enter and then moved, so that there is no moment in between.
func listenPrivately(ctx context.Context, name string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(name), ".s")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(filepath.Join(dir, "s"), 0o600), os.Rename(filepath.Join(dir, "s"), name)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// socketHandler is what the socket answers. A server for development has hosts and no keys.
func (a *App) socketHandler() http.Handler {
	mux := http.NewServeMux()
	hostHandler(mux, &a.rooms.hosts)
	saveHandler(mux, a.db, a.logger)
	if a.keys != nil {
		keyHandler(mux, localKeyring{a.keys})
	}
	return mux
}

// keyHandler adds what the socket answers of keys.
func keyHandler(mux *http.ServeMux, keys Keyring) {
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		list, err := keys.List(r.Context())
		answerKeys(w, list, err)
	})
	mux.HandleFunc("POST /keys", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		c, err := keys.Create(r.Context(), q.Get("name"), q.Get("policy"))
		answerKeys(w, revealed{c.ID, string(c.Secret)}, err)
	})
	mux.HandleFunc("POST /keys/{id}/rotate", func(w http.ResponseWriter, r *http.Request) {
		overlap, err := time.ParseDuration(r.URL.Query().Get("overlap"))
		if err != nil {
			answerKeys(w, nil, err)
			return
		}
		c, err := keys.Rotate(r.Context(), r.PathValue("id"), overlap)
		answerKeys(w, revealed{c.ID, string(c.Secret)}, err)
	})
	mux.HandleFunc("POST /reseal", func(w http.ResponseWriter, r *http.Request) {
		done, err := keys.Reseal(r.Context())
		answerKeys(w, done, err)
	})
	mux.HandleFunc("GET /audit", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		list, err := keys.Entries(r.Context(), after, limit)
		answerKeys(w, list, err)
	})
	mux.HandleFunc("GET /audit/verify", func(w http.ResponseWriter, r *http.Request) {
		n, err := keys.Verify(r.Context())
		answerKeys(w, n, err)
	})
	mux.HandleFunc("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		answerKeys(w, struct{}{}, keys.Revoke(r.Context(), r.PathValue("id")))
	})
}

// revealed are credentials that travel: access.Secret shows itself to nobody.
type revealed struct{ ID, Secret string }

func answerKeys(w http.ResponseWriter, v any, err error) {
	if err != nil {
		sayJSON(w, http.StatusBadRequest, err.Error())
		return
	}
	sayJSON(w, http.StatusOK, v)
}

// remoteKeyring is the Keyring of a server that runs.
type remoteKeyring struct{ client http.Client }

func newRemoteKeyring(socket string) *remoteKeyring {
	return &remoteKeyring{http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			},
		},
	}}
}

func (k *remoteKeyring) answers(ctx context.Context) bool {
	return k.do(ctx, http.MethodGet, "/keys", &[]access.Key{}) == nil
}

func (k *remoteKeyring) Create(ctx context.Context, name, policy string) (access.Credentials, error) {
	var c revealed
	err := k.do(ctx, http.MethodPost, "/keys?"+url.Values{"name": {name}, "policy": {policy}}.Encode(), &c)
	return access.Credentials{ID: c.ID, Secret: access.Secret(c.Secret)}, err
}

func (k *remoteKeyring) List(ctx context.Context) (list []access.Key, err error) {
	err = k.do(ctx, http.MethodGet, "/keys", &list)
	return list, err
}

func (k *remoteKeyring) Revoke(ctx context.Context, id string) error {
	return k.do(ctx, http.MethodDelete, "/keys/"+url.PathEscape(id), &struct{}{})
}

func (k *remoteKeyring) Rotate(ctx context.Context, id string, overlap time.Duration) (access.Credentials, error) {
	var c revealed
	err := k.do(ctx, http.MethodPost, "/keys/"+url.PathEscape(id)+"/rotate?overlap="+url.QueryEscape(overlap.String()), &c)
	return access.Credentials{ID: c.ID, Secret: access.Secret(c.Secret)}, err
}

func (k *remoteKeyring) Reseal(ctx context.Context) (done access.Resealed, err error) {
	err = k.do(ctx, http.MethodPost, "/reseal", &done)
	return done, err
}

func (k *remoteKeyring) Entries(ctx context.Context, after int64, limit int) (list []access.Logged, err error) {
	err = k.do(ctx, http.MethodGet, fmt.Sprintf("/audit?after=%d&limit=%d", after, limit), &list)
	return list, err
}

func (k *remoteKeyring) Verify(ctx context.Context) (n int64, err error) {
	err = k.do(ctx, http.MethodGet, "/audit/verify", &n)
	return n, err
}

func (k *remoteKeyring) do(ctx context.Context, method, path string, v any) error {
	r, err := http.NewRequestWithContext(ctx, method, "http://server"+path, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := k.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		var reason string
		if err := json.Unmarshal(text, &reason); err != nil {
			return fmt.Errorf("the server answers %s: %s", answer.Status, bytes.TrimSpace(text))
		}
		return errors.New(reason)
	}
	return json.Unmarshal(text, v)
}
