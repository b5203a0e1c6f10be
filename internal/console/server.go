package console

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/host"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/scaling"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// Server is the console. It is made by a literal and not copied; DB and the rooms Fleets,
// Computes, Sessions, Placements and Events are needed. Run keeps its history.
type Server struct {
	DB         *store.DB
	Home       arn.Home
	Fleets     *fleet.Service
	Computes   *compute.Service
	Sessions   *session.Service
	Placements *placement.Service
	Events     *event.Log

	Hosts       *host.Service        // nil: no managed fleets
	Matchmaking *matchmaking.Service // nil: no matchmaking
	Scaling     *scaling.Service     // nil: no scaling policies, and no history of capacity

	// Dev says that anybody may change things, as on the rest of a development server. Else
	// who changes something signs in with one of Keys, and Authorize says whether its policy
	// allows the operation. Audit is the log that changes are written to; nil: none.
	Dev       bool
	Keys      Keys
	Authorize func(ctx context.Context, caller Caller, operation string, in any) error
	Audit     *access.Audit

	// Tail streams the log of a game session that runs; the gateway does. check says whether
	// the visitor still may look. An error means that nothing was written. Nil: no logs.
	Tail func(w http.ResponseWriter, r *http.Request, game arn.GameSessionID, check func(ctx context.Context) error) error

	// Sockets are the gateway's numbers by name; nil: none are shown.
	Sockets func() map[string]int64
	// Endpoint is the URL of the API, for commands that are copied.
	Endpoint func() string
	Version  string
	Logger   *slog.Logger // nil: slog.Default

	traffic traffic
	history history
	counts  counts
	guests  guests
	busy    sync.Mutex // held by the one simulation that runs
}

// Keys finds access keys; the access room does.
type Keys interface {
	Lookup(ctx context.Context, id string) (access.Active, error)
}

// Caller is who changes something.
type Caller struct {
	Key  string
	Name string
	From netip.Addr
	TLS  bool
}

// Handler answers the page at / and its JSON under /api/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	read := func(path string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET /api/"+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			s.answer(w, r, v, err)
		})
	}
	// What is posted carries the token of the visit, so that no other page can post it.
	post := func(path string, f func(w http.ResponseWriter, r *http.Request) (any, error)) {
		mux.HandleFunc("POST /api/"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := s.guests.checkToken(r); err != nil {
				s.answer(w, r, nil, err)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, mostBody)
			v, err := f(w, r)
			s.answer(w, r, v, err)
		})
	}
	mux.HandleFunc("GET /api/visit", s.visit)
	post("signin", s.signIn)
	post("signout", s.signOut)

	mux.HandleFunc("GET /api/events", s.stream)
	mux.HandleFunc("GET /api/tail", s.tail)
	read("overview", s.overview)
	read("series", s.series)
	read("fleets", s.fleets)
	read("fleet", s.fleet)
	read("racks", s.racks)
	read("capacity", s.capacity)
	read("fleet/events", s.fleetEvents)
	read("fleet/log", s.fleetLog)
	read("sessions", s.sessions)
	read("timeline", s.timeline)
	read("game", s.game)
	read("stays", s.stays)
	post("game/end", s.endGame)
	read("player", s.player)
	read("queues", s.queues)
	read("queue", s.queue)
	read("placement", s.placement)
	read("matchmakers", s.matchmakers)
	read("matchmaker", s.matchmaker)
	read("ticket", s.ticket)
	read("workshop/examples", s.examples)
	post("workshop/validate", s.validate)
	post("workshop/evaluate", s.evaluate)
	post("workshop/simulate", s.simulate)
	read("operations", s.operations)
	read("dead", s.dead)
	read("audit", s.audit)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, nil, apierr.NotFound("%s %s is not here", r.Method, r.URL.Path))
	})
	mux.Handle("/", page())
	return s.safe(mux)
}

const mostBody = 1 << 20

// safe adds what keeps a page from being misused, and refuses requests for other names than
// this machine's: a page of a stranger whose name was pointed here could read everything.
func (s *Server) safe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.Dev && !ownName(r.Host) {
			http.Error(w, "a development server answers only under its own address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// policy lets the page load its own files and talk to its own server, and nothing else.
// Charts position their parts by style properties, which it does not forbid.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func ownName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name) != nil
}

// failure is the JSON of an error.
type failure struct {
	Error string `json:"error"`
	Code  string `json:"code"`
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err == nil {
		sendJSON(w, http.StatusOK, v)
		return
	}
	status, f := s.failed(r, err)
	sendJSON(w, status, f)
}

// failed is what of an error a person is told.
func (s *Server) failed(r *http.Request, err error) (int, failure) {
	var refused *refusal
	var api smithy.APIError
	var own *apierr.Error
	var large *http.MaxBytesError
	var noTail *host.NoTail
	switch {
	case errors.As(err, &noTail):
		return http.StatusConflict, failure{noTail.Text, string(noTail.Code)}
	case errors.As(err, &refused):
		return refused.status, failure{refused.text, refused.code}
	case errors.As(err, &own):
		return http.StatusForbidden, failure{own.Message, own.Code}
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, failure{"the request is too large", "TooLarge"}
	case errors.Is(err, store.ErrNoRows):
		return http.StatusNotFound, failure{"there is nothing of that name", "NotFoundException"}
	case errors.As(err, &api):
		status := http.StatusBadRequest
		if strings.Contains(api.ErrorCode(), "NotFound") {
			status = http.StatusNotFound
		}
		return status, failure{api.ErrorMessage(), api.ErrorCode()}
	case r.Context().Err() != nil:
		return 499, failure{"the client is gone", "Gone"}
	}
	s.logger().LogAttrs(r.Context(), slog.LevelError, "console failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	return http.StatusInternalServerError, failure{"this could not be read; the server's log says why", "InternalFailure"}
}

// refusal is an error of the console's own.
type refusal struct {
	status     int
	code, text string
}

func (e *refusal) Error() string { return e.text }

func badRequest(text string) error { return &refusal{http.StatusBadRequest, "InvalidRequest", text} }

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client is gone
}

// receive reads a JSON body.
func receive(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return large
	}
	if err != nil {
		return badRequest("the body is not the JSON that is wanted: " + err.Error())
	}
	return nil
}

// number is an integer of the query, or what stands for none; from least to most.
func number(r *http.Request, name string, none, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return none, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, badRequest(name + " is not a whole number from " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10))
	}
	return n, nil
}

// text is a parameter of the query; one with a NUL is in no database.
func text(r *http.Request, name string) (string, error) {
	t := r.URL.Query().Get(name)
	if len(t) > 2048 || strings.ContainsRune(t, 0) {
		return "", badRequest(name + " is too long or has a NUL in it")
	}
	return t, nil
}

// needed is a text that must be there.
func needed(r *http.Request, name string) (string, error) {
	t, err := text(r, name)
	if err == nil && t == "" {
		err = badRequest(name + " is missing")
	}
	return t, err
}

// page of a list: where it begins and how long it is.
func pageOf(r *http.Request, most int64) (skip, limit int, err error) {
	s, err := number(r, "skip", 0, 0, 1<<40)
	if err != nil {
		return 0, 0, err
	}
	l, err := number(r, "limit", min(100, most), 1, most)
	return int(s), int(l), err
}

// spanOf is a length of time of the query, in seconds; an hour when there is none.
func spanOf(r *http.Request) (time.Duration, error) {
	n, err := number(r, "span", 3600, 1, 31*24*3600)
	return time.Duration(n) * time.Second, err
}
