package compute

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	maxProcessID = 256 // longest process id that is taken; SDKs make UUIDs

	// TerminationGrace is how long a process has from TerminateProcess to ProcessEnding
	// (server-sdk-protocol.md 5).
	TerminationGrace = 5 * time.Minute

	maxPort = 60000 // as the SDKs check it (server-sdk-protocol.md 3.1)
)

// Connect lets a dial in: the process it names is connected through this node from now on.
// What it refuses is a *Refused (server-sdk-protocol.md 1.9):
//
//   - An unknown fleet or compute is 404; a missing token 401; a wrong or expired one 403.
//   - An unknown process id makes a process.
//   - A live process goes on as it was; the new connection supersedes the old one, whatever
//     its idempotency token. It may use a token of the compute that has expired.
//   - An ended process is 403, unless the dial carries the idempotency token that the
//     process was made with, and it did not end by TerminateServerProcess. Then it begins
//     again where its SDK thinks it is: before ProcessReady, or ready. Was it hosting, its
//     game session is lost, and it is told to end.
func (s *Service) Connect(ctx context.Context, d Dial) (Process, error) {
	var p row
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		p, err = s.connectTx(tx, d)
		return err
	})
	return p.Process, err
}

func (s *Service) connectTx(tx *store.Tx, d Dial) (row, error) {
	c, err := s.dialledTx(tx, d)
	if err != nil {
		return row{}, err
	}
	if d.ProcessID == "" || len(d.ProcessID) > maxProcessID {
		return row{}, &Refused{400, "the process id must have 1 to " + strconv.Itoa(maxProcessID) + " characters"}
	}
	p, err := processByID(tx, c.key, d.ProcessID)
	unknown := errors.Is(err, store.ErrNoRows)
	if err != nil && !unknown {
		return row{}, err
	}
	var live *row
	if !unknown && p.Status != StatusEnded {
		live = &p
	}
	if err := s.authenticateTx(tx, c, d, live); err != nil {
		return row{}, err
	}
	before := p
	switch {
	case unknown:
		p = row{
			Process: Process{
				Key: tx.NewKey(), ProcessID: d.ProcessID, FleetKey: c.fleet, Fleet: c.fleetID, ComputeKey: c.key, Compute: c.name,
				Location: c.location, IPAddress: c.ip, DNSName: c.dns, Status: StatusConnected, Managed: c.managed,
			},
			createdWith: d.IdempotencyToken, dialledAt: tx.NowMs(),
		}
		before = p
	case live == nil:
		if p.why == Normal || p.createdWith == "" || p.createdWith != d.IdempotencyToken {
			return row{}, &Refused{403, "server process " + d.ProcessID + " has ended; a new one needs a new id"}
		}
		p.comeBack(tx)
	}
	p.Dial++
	p.Agent = c.agent
	p.node, p.goneAt = new(s.DB.Node()), nil
	p.Connected = true
	p.SDKVersion, p.SDKLanguage = d.SDKVersion, d.SDKLanguage
	if d.AuthToken != "" {
		p.token = sumOf(d.AuthToken)
	}
	if unknown {
		if err := insertProcess(tx, p); err != nil {
			return row{}, err
		}
		return p, s.noteTx(tx, p.Process, NoteDialled, "")
	}
	if err := saveTx(tx, before, p); err != nil {
		return row{}, err
	}
	if live == nil && !p.EndBy.IsZero() {
		if err := s.SendTx(tx, p.Key, TerminateProcess{At: p.EndBy}); err != nil {
			return row{}, err
		}
	}
	return p, nil
}

// comeBack makes an ended process live again.
func (p *row) comeBack(tx *store.Tx) {
	p.endedAt, p.why, p.Healthy = nil, "", false
	switch {
	case p.hosted:
		p.Status, p.EndBy = StatusHosting, tx.Now.Add(TerminationGrace)
	case !p.ReadyAt.IsZero():
		p.Status = StatusReady
	default:
		p.Status, p.dialledAt = StatusConnected, tx.NowMs()
	}
}

// dialledTx locks the compute that a dial names.
func (s *Service) dialledTx(tx *store.Tx, d Dial) (compute, error) {
	f, err := s.Fleets.GetTx(tx, d.Fleet)
	if errors.Is(err, store.ErrNoRows) {
		return compute{}, &Refused{404, "fleet " + string(d.Fleet) + " does not exist"}
	}
	if err != nil {
		return compute{}, err
	}
	c, err := computeByName(tx, f.Key, d.Compute, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) {
		return compute{}, &Refused{404, "compute " + string(d.Compute) + " is not registered in fleet " + string(d.Fleet)}
	}
	return c, err
}

// Ready is ActivateServerProcess: the process is ready for a game session, as soon as it
// also reports healthy. A repeat changes nothing.
func (s *Service) Ready(ctx context.Context, process store.Key, r Ready) error {
	if r.Port < 1 || r.Port > maxPort {
		return apierr.InvalidRequest("Port: %d is not between 1 and %d", r.Port, maxPort)
	}
	return s.change(ctx, process, func(tx *store.Tx, p *row) error {
		if p.Status != StatusConnected {
			return nil
		}
		p.Status, p.ReadyAt = StatusReady, tx.Now
		p.Port, p.LogPaths = r.Port, r.LogPaths
		p.ToolName, p.ToolVersion = r.ToolName, r.ToolVersion
		if r.SDKVersion != "" {
			p.SDKVersion, p.SDKLanguage = r.SDKVersion, r.SDKLanguage
		}
		tx.Count(ProcessActivations, 1, string(p.Fleet), string(p.Location))
		return s.noteTx(tx, p.Process, NoteReady, "")
	})
}

// noteTx tells the seam Noted of a process of an instance, and the agent of another one.
func (s *Service) noteTx(tx *store.Tx, p Process, n Note, why EndReason) error {
	if !p.Managed && p.Agent {
		tellAgent(tx, p.ComputeKey)
	}
	if !p.Managed || s.Noted == nil {
		return nil
	}
	return s.Noted(tx, p, n, why)
}

// Health records what a process says of itself. The gateway calls it for the first report
// and for changes; in between it keeps the reports to itself. A ready process is placeable
// while it is healthy: not before its first report, since SDKs ignore game sessions until
// then (server-sdk-protocol.md 4.1).
func (s *Service) Health(ctx context.Context, process store.Key, healthy bool) error {
	return s.change(ctx, process, func(_ *store.Tx, p *row) error {
		p.Healthy = healthy
		return nil
	})
}

// Disconnect says that this node no longer holds the connection with that number. It
// changes nothing when the process has another connection by now, or has ended. A process
// that is gone is not placeable; after the grace it counts as crashed.
func (s *Service) Disconnect(ctx context.Context, process store.Key, dial int64) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		p, err := holdTx(tx, process)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.Status == StatusEnded || p.Dial != dial || p.node == nil {
			return nil
		}
		before := p
		p.leave(tx)
		return saveTx(tx, before, p)
	})
}

// leave says that nobody holds the process's socket.
func (p *row) leave(tx *store.Tx) {
	p.node, p.Connected = nil, false
	p.goneAt = new(tx.NowMs())
}

// End ends a process: at once, whether it is connected or not. An ended one stays as it is.
func (s *Service) End(ctx context.Context, process store.Key, why EndReason) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error { return s.EndTx(tx, process, why) })
}

// EndTx is End within a transaction. What runs on the process ends with it.
func (s *Service) EndTx(tx *store.Tx, process store.Key, why EndReason) error {
	p, err := holdTx(tx, process)
	if errors.Is(err, store.ErrNoRows) {
		return apierr.NotFound("the server process does not exist")
	}
	if err != nil {
		return err
	}
	return s.endTx(tx, p, why)
}

// endTx ends a process whose compute is locked. One that an agent runs is killed, unless it
// is about to exit by itself.
func (s *Service) endTx(tx *store.Tx, p row, why EndReason) error {
	return s.finishTx(tx, p, why, "", false)
}

// finishTx is endTx with more words on the reason. exited says that the process is known to
// be gone.
func (s *Service) finishTx(tx *store.Tx, p row, why EndReason, detail string, exited bool) error {
	if p.Status == StatusEnded {
		return nil
	}
	before := p
	p.Status, p.why, p.endedAt = StatusEnded, why, new(tx.NowMs())
	p.node, p.Connected, p.goneAt, p.EndBy = nil, false, nil, time.Time{}
	p.activating = false
	if err := saveTx(tx, before, p); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM process_inbox WHERE process = $1`, p.Key); err != nil {
		return err
	}
	countEnd(tx, p.Process, why)
	tx.Notify(ChannelEnded, strconv.FormatInt(int64(p.Key), 10))
	if s.Ended != nil {
		if err := s.Ended(tx, before.Process, why); err != nil {
			return err
		}
	}
	if !exited {
		note := NoteKill
		if why == Normal {
			note = NoteEnding
		}
		if err := s.noteTx(tx, before.Process, note, why); err != nil {
			return err
		}
	}
	// Last, since repeats of one event on a fleet wait for each other here.
	return s.endEventTx(tx, p.Fleet, p.Compute, why, detail)
}

func (s *Service) endEventTx(tx *store.Tx, f arn.FleetID, on arn.ComputeName, why EndReason, detail string) error {
	e, told := events[why]
	if !told {
		return nil
	}
	message := e.message + ", compute " + string(on)
	if detail != "" {
		message += ": " + detail
	}
	return s.Fleets.EventTx(tx, f, e.code, message)
}

// events are what a fleet is told of the ends of its processes (hosting.md 2.5). The
// message names the compute and not the process, so that repeats are folded.
var events = map[EndReason]struct {
	code    types.EventCode
	message string
}{
	Crashed:      {types.EventCodeServerProcessCrashed, "Server process was gone without calling ProcessEnding()"},
	Unhealthy:    {types.EventCodeServerProcessTerminatedUnhealthy, "Server process did not report healthy for too long"},
	ReadyTimeout: {types.EventCodeServerProcessProcessReadyTimeout, "Server process did not call ProcessReady() in time after InitSDK()"},
	Forced:       {types.EventCodeServerProcessForceTerminated, "Server process did not end in time after OnProcessTerminate()"},
	InvalidPath:  {types.EventCodeServerProcessInvalidPath, "Server process has a launch path that is not there"},
	InitTimeout:  {types.EventCodeServerProcessSdkInitializationTimeout, "Server process did not call InitSDK() in time after its launch"},
	ExitTimeout:  {types.EventCodeServerProcessProcessExitTimeout, "Server process did not exit in time after ProcessEnding()"},
}

// ActivatedTx says that the game session of a process is active: it no longer counts
// against the compute's limit of activations. A repeat changes nothing.
func (s *Service) ActivatedTx(tx *store.Tx, process store.Key) error {
	return changeTx(tx, process, func(_ *store.Tx, p *row) error {
		p.activating = false
		return nil
	})
}

// ProcessTx reads a process. The error is store.ErrNoRows when it is unknown, also when it
// ended long ago.
func (s *Service) ProcessTx(tx *store.Tx, process store.Key) (Process, error) {
	p, err := processByKey(tx, process)
	return p.Process, err
}

// keepChunk is how many sockets Keep looks at in one read.
const keepChunk = 5000

// Keep says which connections this node holds, and returns those that it should close: the
// process ended, or has a newer connection. Processes that a sweep took from this node,
// because the node was not heard of for a while, are connected again.
func (s *Service) Keep(ctx context.Context, held []Socket) (stale []Socket, err error) {
	for len(held) > 0 {
		chunk := held[:min(keepChunk, len(held))]
		held = held[len(chunk):]
		current := map[Socket]bool{} // and whether a node is known to hold it
		err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			current, err = sockets(tx, chunk)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, h := range chunk {
			taken, ok := current[h]
			if !ok {
				stale = append(stale, h)
				continue
			}
			if taken {
				continue
			}
			if ok, err = s.retake(ctx, h); err != nil {
				return nil, err
			}
			if !ok {
				stale = append(stale, h)
			}
		}
	}
	return stale, nil
}

// retake connects a process again whose socket never broke. ok is false when it has ended
// or has another connection.
func (s *Service) retake(ctx context.Context, h Socket) (ok bool, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		ok = false
		p, err := holdTx(tx, h.Process)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil || p.Status == StatusEnded || p.Dial != h.Dial {
			return err
		}
		before := p
		p.node, p.Connected, p.goneAt = new(s.DB.Node()), true, nil
		ok = true
		return saveTx(tx, before, p)
	})
	return ok, err
}

// change changes a live process in a transaction of its own.
func (s *Service) change(ctx context.Context, process store.Key, f func(*store.Tx, *row) error) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error { return changeTx(tx, process, f) })
}

// changeTx changes a live process. For callers: NotFoundException when it does not exist,
// ConflictException when it has ended.
func changeTx(tx *store.Tx, key store.Key, f func(*store.Tx, *row) error) error {
	p, err := holdTx(tx, key)
	if errors.Is(err, store.ErrNoRows) {
		return apierr.NotFound("the server process does not exist")
	}
	if err != nil {
		return err
	}
	if p.Status == StatusEnded {
		return apierr.Conflict("server process %s has ended", p.ProcessID)
	}
	before := p
	if err := f(tx, &p); err != nil {
		return err
	}
	return saveTx(tx, before, p)
}
