package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/access"
)

const (
	cookieName  = "matchyard-console"
	tokenHeader = "X-Matchyard-Token" //nolint:gosec // a name

	visitLife   = time.Hour // since the last change made
	mostGuests  = 1000
	triesEvery  = time.Second // one wrong sign-in a second, after a handful
	triesAtOnce = 10
)

// guests are those who signed in, and the token that each page must send with what it posts.
type guests struct {
	mu     sync.Mutex
	open   string // token of those who did not
	signed map[string]*guest
	tries  float64
	tried  time.Time
}

type guest struct {
	key, name string
	token     string
	until     time.Time
}

func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// of is the guest of a request; nil for one who did not sign in. Call it under the lock.
func (g *guests) of(r *http.Request, now time.Time) *guest {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	have := g.signed[c.Value]
	if have == nil || now.After(have.until) {
		delete(g.signed, c.Value)
		return nil
	}
	return have
}

// tokenOf is what a request of this visitor must carry.
func (g *guests) tokenOf(r *http.Request, now time.Time) string {
	if who := g.of(r, now); who != nil {
		return who.token
	}
	if g.open == "" {
		g.open = secret()
	}
	return g.open
}

// checkToken refuses a request that another page may have made the browser send.
func (g *guests) checkToken(r *http.Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := g.tokenOf(r, time.Now())
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(want)) != 1 {
		return &refusal{http.StatusForbidden, "WrongToken", "the request does not carry the token of this visit; reload the page"}
	}
	return nil
}

// Visit is what the page must know of the server and of who looks at it.
type Visit struct {
	Version     string `json:"version"`
	Region      string `json:"region"`
	Endpoint    string `json:"endpoint"`
	Dev         bool   `json:"dev"`
	Matchmaking bool   `json:"matchmaking"`
	Token       string `json:"token"`
	Key         string `json:"key,omitempty"` // who signed in
	Name        string `json:"name,omitempty"`
	Now         int64  `json:"now"` // the server's clock, which may be a manual one
}

func (s *Server) visit(w http.ResponseWriter, r *http.Request) {
	sendJSON(w, http.StatusOK, s.visitOf(r))
}

func (s *Server) visitOf(r *http.Request) Visit {
	v := Visit{Version: s.Version, Region: s.Home.Region, Dev: s.Dev, Matchmaking: s.Matchmaking != nil, Now: s.DB.Now().UnixMilli()}
	if s.Endpoint != nil {
		v.Endpoint = s.Endpoint()
	}
	s.lapse(r)
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	v.Token = s.guests.tokenOf(r, time.Now())
	if who := s.guests.of(r, time.Now()); who != nil {
		v.Key, v.Name = who.key, who.name
	}
	return v
}

// signIn takes an access key and its secret, and makes a visit that may do what the key's
// policy allows.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Key    string `json:"key"`
		Secret string `json:"secret"`
	}
	if err := receive(r, &in); err != nil {
		return nil, err
	}
	if s.Keys == nil {
		return nil, badRequest("a development server needs no signing in")
	}
	if !s.guests.mayTry(time.Now()) {
		return nil, &refusal{http.StatusTooManyRequests, "TooManyTries", "too many tries to sign in; wait a moment"}
	}
	key, err := s.Keys.Lookup(r.Context(), in.Key)
	if err != nil && !errors.Is(err, access.ErrUnknown) {
		return nil, err
	}
	// Also an unknown key is compared, so that the time does not tell that it is.
	got, want := sha256.Sum256([]byte(in.Secret)), sha256.Sum256([]byte(string(key.Secret)))
	right := subtle.ConstantTimeCompare(got[:], want[:]) == 1
	if err != nil || !right || in.Secret == "" || key.Temporary || expired(key.Key) {
		return nil, &refusal{http.StatusForbidden, "SignInFailed", "there is no such access key with that secret"}
	}
	s.guests.forgive()
	id := secret()
	s.guests.add(id, &guest{key: key.ID, name: key.Name, token: secret(), until: time.Now().Add(visitLife)})
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: id, Path: "/", MaxAge: int(visitLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	return s.visitOf(onlyCookie(r, id)), nil
}

// onlyCookie is the request as the browser will send its next one.
func onlyCookie(r *http.Request, id string) *http.Request {
	next := r.Clone(r.Context())
	next.Header.Set("Cookie", cookieName+"="+id)
	return next
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) (any, error) {
	s.guests.end(r)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return s.visitOf(onlyCookie(r, "")), nil
}

// mayTry limits how fast secrets can be guessed, whoever guesses.
func (g *guests) mayTry(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.tried.IsZero() {
		g.tries = max(0, g.tries-now.Sub(g.tried).Seconds()/triesEvery.Seconds())
	}
	g.tried = now
	if g.tries >= triesAtOnce {
		return false
	}
	g.tries++
	return true
}

func (g *guests) forgive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tries = max(0, g.tries-1)
}

func (g *guests) add(id string, who *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.signed == nil {
		g.signed = map[string]*guest{}
	}
	for old, have := range g.signed {
		if len(g.signed) >= mostGuests || time.Now().After(have.until) {
			delete(g.signed, old)
		}
	}
	g.signed[id] = who
}

// caller is who changes something; an error when the visitor may change nothing.
func (s *Server) caller(r *http.Request) (Caller, error) {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	c := Caller{From: at.Addr().Unmap(), TLS: r.TLS != nil}
	if s.Dev {
		return c, nil
	}
	s.lapse(r)
	s.guests.mu.Lock()
	defer s.guests.mu.Unlock()
	who := s.guests.of(r, time.Now())
	if who == nil {
		return c, &refusal{http.StatusUnauthorized, "SignInNeeded", "sign in with an access key to change something, or to read a log"}
	}
	who.until = time.Now().Add(visitLife)
	c.Key, c.Name = who.key, who.name
	return c, nil
}

// lapse ends a visit whose key was revoked or has expired since.
func (s *Server) lapse(r *http.Request) {
	if s.Keys == nil {
		return
	}
	s.guests.mu.Lock()
	who := s.guests.of(r, time.Now())
	s.guests.mu.Unlock()
	if who == nil {
		return
	}
	key, err := s.Keys.Lookup(r.Context(), who.key)
	if errors.Is(err, access.ErrUnknown) || err == nil && expired(key.Key) {
		s.guests.end(r)
	}
}

func expired(k access.Key) bool { return !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(time.Now()) }

// end ends the visit that a request belongs to.
func (g *guests) end(r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.signed, c.Value)
	}
}

// may refuses what a visitor's key does not allow. A key that was revoked since allows
// nothing.
func (s *Server) may(r *http.Request, operation string, in any) (Caller, error) {
	c, err := s.caller(r)
	if err != nil || s.Dev {
		return c, err
	}
	return c, s.Authorize(r.Context(), c, operation, in)
}
