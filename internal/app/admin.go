package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	readyTimeout = 2 * time.Second

	adminHeaderTimeout = 10 * time.Second
	adminIdleTimeout   = 2 * time.Minute
)

func adminServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: adminHeaderTimeout, // answers have no limit: a profile takes as long as it is told to
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// adminHandler is everything on the admin address. Requests that a web page of another
// origin makes a browser send are refused, unless they only look.
func (a *App) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.HandleFunc("GET /version", a.version)
	mux.HandleFunc("GET /explain/placement/{id}", explain(a, a.rooms.placements.Explain))
	mux.HandleFunc("GET /explain/ticket/{id}", explain(a, a.rooms.matches.Explain))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/", a.console.Handler())
	a.events.Admin(mux)
	if a.config.Dev {
		mux.HandleFunc("GET /clock", a.showClock)
		mux.HandleFunc("POST /clock/advance", a.advanceClock)
		a.faults.handle(mux)
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// readyz says whether requests would be answered: the server is not about to stop, and the
// database answers.
func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	if a.draining.Load() {
		say(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	start := time.Now()
	var one int
	err := a.db.Read(ctx, func(tx *store.Tx) error { return tx.QueryRow(`SELECT 1`).Scan(&one) })
	if err != nil {
		a.logger.Warn("not ready", slog.Any("error", err))
		say(w, http.StatusServiceUnavailable, "the database does not answer")
		return
	}
	a.metrics.StoreRead(time.Since(start))
	say(w, http.StatusOK, "ready")
}

func (a *App) version(w http.ResponseWriter, _ *http.Request) {
	sayJSON(w, http.StatusOK, map[string]string{"version": a.config.Version, "api": model.APIVersion})
}

func (a *App) showClock(w http.ResponseWriter, _ *http.Request) {
	sayJSON(w, http.StatusOK, map[string]string{"now": stamp(a.clock.Now()), "clock": a.config.Clock})
}

// advanceClock moves a manual clock by the duration d of the query, and answers when
// everything that fell due has run.
func (a *App) advanceClock(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("d")
	if text == "" {
		sayJSON(w, http.StatusBadRequest, map[string]string{"error": "d: how far to move the clock is missing, as in ?d=61s"})
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxAdvance {
		sayJSON(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("d: %q is not a duration from 0 to %s, as 61s, 5m or 720h is", text, maxAdvance)})
		return
	}
	now, err := a.Advance(r.Context(), d)
	switch {
	case errors.Is(err, ErrRealClock):
		sayJSON(w, http.StatusConflict, map[string]string{"error": err.Error()})
	case err != nil:
		sayJSON(w, http.StatusInternalServerError, map[string]string{"now": stamp(now), "error": err.Error()})
	default:
		sayJSON(w, http.StatusOK, map[string]string{"now": stamp(now)})
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

func sayJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client is gone
}
