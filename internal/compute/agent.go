package compute

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Agents of AWS's own kind run the processes of registered computes
// (server-sdk-protocol.md 8). What one must know is not kept for it as messages: it is the
// state of its compute's processes, which the node that holds its socket reads when
// ChannelAgent names the compute.

// agentGrace is how long an agent may be away before its compute counts as one without: it
// dials again for six and a half minutes (server-sdk-protocol.md 1.5).
const agentGrace = 10 * time.Minute

// Agent is a connection of a compute's agent.
type Agent struct {
	Compute store.Key
	Fleet   arn.FleetID
	Name    arn.ComputeName
	Dial    int64 // its number, counted from 1: the greatest is current
}

// ConnectAgent lets the dial of an agent in, which names no process and shows a token of its
// compute, and marks the compute as managed by an agent. wall is the time of the machine.
// What it refuses is a *Refused: the agent of an instance is this server's own.
func (s *Service) ConnectAgent(ctx context.Context, d Dial, wall time.Time) (Agent, error) {
	var a Agent
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		c, err := s.dialledTx(tx, d)
		if err != nil {
			return err
		}
		if err := s.authenticateTx(tx, c, d, nil); err != nil {
			return err
		}
		if c.managed {
			return &Refused{403, "compute " + string(c.name) + " is an instance, whose processes its host's agent runs"}
		}
		a = Agent{Compute: c.key, Fleet: c.fleetID, Name: c.name}
		if err := tx.QueryRow(`INSERT INTO compute_agent (compute, dial, seen_at) VALUES ($1, 1, $2)
			ON CONFLICT (compute) DO UPDATE SET dial = compute_agent.dial + 1, seen_at = $2 RETURNING dial`, c.key, wall.UnixMilli()).Scan(&a.Dial); err != nil {
			return err
		}
		tellAgent(tx, c.key) // whoever holds an older one
		return markAgent(tx, c.key, true)
	})
	return a, err
}

// markAgent says of a compute, whose row is locked, and of its live processes whether an
// agent manages them.
func markAgent(tx *store.Tx, compute store.Key, managed bool) error {
	if _, err := tx.Exec(`UPDATE compute SET agent = $2 WHERE key = $1 AND agent <> $2`, compute, bit(managed)); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE process SET agent = $2 WHERE compute = $1 AND status <> $3 AND agent <> $2`, compute, bit(managed), StatusEnded)
	return err
}

// AgentView is what an agent must know.
type AgentView struct {
	// Gone says that the compute is not registered any more.
	Gone bool
	// Superseded says that the agent has another connection, GivenUp that it has none any more:
	// it was away for too long, or has shut down.
	Superseded, GivenUp bool
	// Processes are those of the compute that have not ended, those that ended lately, and
	// those asked for.
	Processes []Ended
	// At is when this was read.
	At time.Time
}

// AgentTx reads what a compute's agent must know; of processes that have ended only those
// with the given ids and those that ended after an instant.
func (s *Service) AgentTx(tx *store.Tx, a Agent, ids []string, after time.Time) (AgentView, error) {
	var dial int64
	var seen *int64
	err := tx.QueryRow(`SELECT dial, seen_at FROM compute_agent WHERE compute = $1`, a.Compute).Scan(&dial, &seen)
	if errors.Is(err, store.ErrNoRows) {
		return AgentView{Gone: true}, nil
	}
	if err != nil {
		return AgentView{}, err
	}
	if dial != a.Dial || seen == nil {
		return AgentView{Superseded: dial != a.Dial, GivenUp: dial == a.Dial}, nil
	}
	list, err := processesWhere(tx, `compute = $1 AND (status <> $2 OR ended_at > $4 OR `+tx.In("process_id", 3)+`)`,
		a.Compute, StatusEnded, store.List(tx, ids), after.UnixMilli())
	return AgentView{Processes: list, At: tx.Now}, err
}

// AgentExited records that an agent reports the end of a process of its compute: one that
// never dialled leaves its event too. A repeat changes nothing for a process that dialled.
// An agent takes what never became ready for not initialized; of what did dial it is
// ProcessReady that did not come.
func (s *Service) AgentExited(ctx context.Context, e Exit) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if e.Why == InitTimeout {
			p, err := processByID(tx, e.Compute, e.ProcessID)
			if err != nil && !errors.Is(err, store.ErrNoRows) {
				return err
			}
			if err == nil && p.Status == StatusConnected {
				e.Why = ReadyTimeout
			}
		}
		_, err := s.ExitedTx(tx, e)
		return err
	})
}

// KeepAgents says which agents' connections this node holds, and returns those that it should
// close: another one has come, or they were given up meanwhile.
func (s *Service) KeepAgents(ctx context.Context, held []Agent, wall time.Time) (stale []Agent, err error) {
	if len(held) == 0 {
		return nil, nil
	}
	slices.SortFunc(held, func(a, b Agent) int { return cmp.Compare(a.Compute, b.Compute) }) // the order of locks
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		stale = nil
		for _, a := range held {
			n, err := tx.Exec(`UPDATE compute_agent SET seen_at = $3 WHERE compute = $1 AND dial = $2 AND seen_at IS NOT NULL`, a.Compute, a.Dial, wall.UnixMilli())
			if err != nil {
				return err
			}
			if n == 0 {
				stale = append(stale, a)
			}
		}
		return nil
	})
	return stale, err
}

// LeaveAgent says that an agent has shut down: its compute has none any more.
func (s *Service) LeaveAgent(ctx context.Context, a Agent) error {
	return s.giveUpAgent(ctx, a.Compute, `dial = $2`, a.Dial)
}

// GiveUpAgents gives up the agents that no node has held for ten minutes.
func (s *Service) GiveUpAgents(ctx context.Context, wall time.Time) error {
	before := wall.Add(-agentGrace).UnixMilli()
	var silent []store.Key
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		silent, err = store.Column[store.Key](tx.Query(`SELECT compute FROM compute_agent WHERE seen_at < $1 ORDER BY compute`, before))
		return err
	})
	for _, key := range silent {
		err = errors.Join(err, s.giveUpAgent(ctx, key, `seen_at < $2`, before))
	}
	return err
}

// giveUpAgent gives an agent up if a condition on its row, with one argument, still holds.
func (s *Service) giveUpAgent(ctx context.Context, compute store.Key, where string, arg int64) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.lockOneTx(tx, compute); err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE compute_agent SET seen_at = NULL WHERE compute = $1 AND `+where, compute, arg)
		if err != nil || n == 0 {
			return err
		}
		return markAgent(tx, compute, false)
	})
}

// tellAgent says that something of a compute's processes has changed.
func tellAgent(tx *store.Tx, compute store.Key) {
	tx.Notify(ChannelAgent, strconv.FormatInt(int64(compute), 10))
}
