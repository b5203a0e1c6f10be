package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/store"
)

// Hosts manages the hosts of a server, and the tokens they join with, be the server running
// or not.
type Hosts interface {
	CreateToken(ctx context.Context, name string) (t host.Token, secret string, err error)
	Tokens(ctx context.Context) ([]host.Token, error)
	RevokeToken(ctx context.Context, id string) error
	Hosts(ctx context.Context) ([]host.Host, error)
	Drain(ctx context.Context, name string, on bool) error
	Forget(ctx context.Context, name string) error
}

// OpenHosts reaches the hosts of the server with that configuration. Call done at the end.
func OpenHosts(ctx context.Context, c config.Config) (h Hosts, done func() error, err error) {
	if dir := c.Folder(); dir != "" {
		remote := remoteHosts{newRemoteKeyring(filepath.Join(dir, socketName))}
		if _, err := remote.Tokens(ctx); err == nil {
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
	return &host.Service{DB: db, Wall: time.Now}, db.Close, nil
}

// hostHandler adds what the socket answers of hosts.
func hostHandler(mux *http.ServeMux, hosts Hosts) {
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, r *http.Request) {
		list, err := hosts.Hosts(r.Context())
		answerKeys(w, list, err)
	})
	mux.HandleFunc("POST /hosts/{name}/drain", func(w http.ResponseWriter, r *http.Request) {
		answerKeys(w, struct{}{}, hosts.Drain(r.Context(), r.PathValue("name"), r.URL.Query().Get("on") == "true"))
	})
	mux.HandleFunc("DELETE /hosts/{name}", func(w http.ResponseWriter, r *http.Request) {
		answerKeys(w, struct{}{}, hosts.Forget(r.Context(), r.PathValue("name")))
	})
	mux.HandleFunc("GET /host-tokens", func(w http.ResponseWriter, r *http.Request) {
		list, err := hosts.Tokens(r.Context())
		answerKeys(w, list, err)
	})
	mux.HandleFunc("POST /host-tokens", func(w http.ResponseWriter, r *http.Request) {
		t, secret, err := hosts.CreateToken(r.Context(), r.URL.Query().Get("name"))
		answerKeys(w, createdToken{t, secret}, err)
	})
	mux.HandleFunc("DELETE /host-tokens/{id}", func(w http.ResponseWriter, r *http.Request) {
		answerKeys(w, struct{}{}, hosts.RevokeToken(r.Context(), r.PathValue("id")))
	})
}

// createdToken is a token that travels with its secret, once.
type createdToken struct {
	Token  host.Token
	Secret string
}

// remoteHosts are the Hosts of a server that runs.
type remoteHosts struct{ *remoteKeyring }

var _ Hosts = remoteHosts{}

func (h remoteHosts) CreateToken(ctx context.Context, name string) (host.Token, string, error) {
	var c createdToken
	err := h.do(ctx, http.MethodPost, "/host-tokens?"+url.Values{"name": {name}}.Encode(), &c)
	return c.Token, c.Secret, err
}

func (h remoteHosts) Tokens(ctx context.Context) (list []host.Token, err error) {
	err = h.do(ctx, http.MethodGet, "/host-tokens", &list)
	return list, err
}

func (h remoteHosts) RevokeToken(ctx context.Context, id string) error {
	return h.do(ctx, http.MethodDelete, "/host-tokens/"+url.PathEscape(id), &struct{}{})
}

func (h remoteHosts) Hosts(ctx context.Context) (list []host.Host, err error) {
	err = h.do(ctx, http.MethodGet, "/hosts", &list)
	return list, err
}

func (h remoteHosts) Drain(ctx context.Context, name string, on bool) error {
	q := "false"
	if on {
		q = "true"
	}
	if name == "" {
		return errors.New("a host's name is needed")
	}
	return h.do(ctx, http.MethodPost, "/hosts/"+url.PathEscape(name)+"/drain?on="+q, &struct{}{})
}

func (h remoteHosts) Forget(ctx context.Context, name string) error {
	return h.do(ctx, http.MethodDelete, "/hosts/"+url.PathEscape(name), &struct{}{})
}
