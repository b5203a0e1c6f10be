package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// Tailed is the process whose log is that of a game session, on a host whose agent can be
// asked for it.
type Tailed struct {
	Host     store.Key
	HostName string
	Instance string
	Process  string
	// EndedAt is when the game session ended; zero: it runs. Its process may outlive it.
	EndedAt time.Time
}

// NoTail is why the log of a game session cannot be read while it is written, and where it
// is.
type NoTail struct {
	Code NoTailCode
	Text string
}

func (e *NoTail) Error() string { return e.Text }

// NoTailCode tells programs why.
type NoTailCode string

// The codes.
const (
	TailNotFound NoTailCode = "NotFoundException" // there is no such game session
	TailEnded    NoTailCode = "Ended"             // its process has ended: there is GetGameSessionLogUrl
	TailNoAgent  NoTailCode = "NoAgent"           // no agent of this server is where it runs
	TailAway     NoTailCode = "HostAway"          // the host is not connected
)

// Tailed finds the process of a game session, or says why its log cannot be read: a *NoTail.
func (s *Service) Tailed(ctx context.Context, id arn.GameSessionID) (t Tailed, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		w, found, err := s.Sessions.WhereTx(tx, id)
		if err != nil {
			return err
		}
		if !found {
			return &NoTail{TailNotFound, "game session " + string(id) + " does not exist"}
		}
		p, err := s.Computes.ProcessTx(tx, w.Process)
		if errors.Is(err, store.ErrNoRows) || err == nil && p.Status == compute.StatusEnded && !w.EndedAt.IsZero() {
			return &NoTail{TailEnded, "the game session is " + string(w.Status) + " and its process has ended; GetGameSessionLogUrl has its log"}
		}
		if err != nil {
			return err
		}
		t, err = s.tailedTx(tx, w, p)
		return err
	})
	return t, err
}

func (s *Service) tailedTx(tx *store.Tx, w session.Where, p compute.Process) (Tailed, error) {
	i, ok, err := ofCompute(tx, p.ComputeKey)
	if err != nil {
		return Tailed{}, err
	}
	if !ok && p.Managed {
		return Tailed{}, &NoTail{TailEnded, "the instance on which the game session ran is gone; GetGameSessionLogUrl has its log, if it was handed in"}
	}
	if !ok {
		return Tailed{}, &NoTail{TailNoAgent, fmt.Sprintf("fleet %s is an Anywhere fleet: no agent of this server is on its computes, so the log can only be read where it is, on %q (%s)%s",
			w.Fleet, w.Compute, net.JoinHostPort(w.Address, strconv.Itoa(int(w.Port))), in(p.LogPaths))}
	}
	t := Tailed{Host: i.host, Instance: i.id, Process: p.ProcessID, EndedAt: w.EndedAt}
	var node *string
	var lost *int64
	if err := tx.QueryRow(`SELECT name, node, lost_at FROM host WHERE key = $1`, i.host).Scan(&t.HostName, &node, &lost); err != nil {
		return t, err
	}
	if node == nil || lost != nil {
		return t, &NoTail{TailAway, fmt.Sprintf("host %s is not connected; the log is there, in the folder of instance %s", t.HostName, i.id)}
	}
	return t, nil
}

// in says where on a machine a process's logs are.
func in(paths []string) string {
	if len(paths) == 0 {
		return "; its game server named no log files"
	}
	quoted := make([]string, 0, len(paths))
	for _, p := range paths {
		quoted = append(quoted, strconv.QuoteToGraphic(p))
	}
	return ", in " + strings.Join(quoted, ", ")
}
