package console

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/host"
)

// logOperation is what the key of a visitor must allow who looks at a log.
const logOperation = "GetGameSessionLogUrl"

// tail streams the log of a game session while it is written. Logs hold what players said
// and did, so that, other than the rest, looking at them needs a key.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	if err := s.tailTo(w, r); err != nil {
		s.answer(w, r, nil, err)
	}
}

func (s *Server) tailTo(w http.ResponseWriter, r *http.Request) error {
	id, err := needed(r, "id")
	if err != nil {
		return err
	}
	if s.Tail == nil {
		return &host.NoTail{Code: host.TailNoAgent, Text: "this server keeps no hosts"}
	}
	in := &gamelift.GetGameSessionLogUrlInput{GameSessionId: &id}
	who, err := s.may(r, logOperation, in)
	if err != nil {
		return err
	}
	return s.Tail(w, r, arn.GameSessionID(id), func(ctx context.Context) error {
		switch {
		case s.Dev:
			return nil
		case !s.guests.has(r):
			return &refusal{http.StatusUnauthorized, "SignInNeeded", "the visit has ended"}
		}
		return s.Authorize(ctx, who, logOperation, in)
	})
}

// has tells whether the visitor is still signed in. Unlike a change it keeps nobody in.
func (g *guests) has(r *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of(r, time.Now()) != nil
}
