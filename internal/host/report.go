package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// ErrSuperseded says that a connection is not its host's current one any more.
var ErrSuperseded = errors.New("the host has another connection")

// Report takes in what an agent says, in order and in one transaction, and returns what to
// answer. What is about instances of other hosts, or about none, is passed over: an agent
// speaks of what is its own. Saying something twice changes nothing.
func (s *Service) Report(ctx context.Context, j Joined, messages []any) (answers []any, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		r := reporting{s: s, tx: tx, host: j.Host}
		if err := r.begin(j, messages); err != nil {
			return err
		}
		for _, m := range messages {
			if err := r.take(m); err != nil {
				return err
			}
		}
		answers = r.answers
		return r.save()
	})
	return answers, err
}

// reporting is one Report under way.
type reporting struct {
	s    *Service
	tx   *store.Tx
	host store.Key
	name string // the host's

	known   map[string]*instance // by id
	changed map[string]actual    // states to be written
	notes   map[place]note
	answers []any
}

// begin reads what the messages are about.
func (r *reporting) begin(j Joined, messages []any) error {
	var dial int64
	err := r.tx.QueryRow(`SELECT name, dial FROM host WHERE key = $1 AND lost_at IS NULL`, j.Host).Scan(&r.name, &dial)
	if errors.Is(err, store.ErrNoRows) || err == nil && dial != j.Dial {
		return ErrSuperseded
	}
	if err != nil {
		return err
	}
	var ids []string
	for _, m := range messages {
		if id := about(m); id != "" {
			ids = append(ids, id)
		}
	}
	r.known, r.changed, r.notes = map[string]*instance{}, map[string]actual{}, map[place]note{}
	if len(ids) == 0 {
		return nil
	}
	list, err := instances(r.tx, `WHERE `+r.tx.In("id", 1)+` AND host = $2`, store.List(r.tx, ids), r.host)
	for _, i := range list {
		r.known[i.id] = &i
	}
	return err
}

// about is the instance that a message is about.
func about(m any) string {
	switch m := m.(type) {
	case *hostmsg.Progress:
		return m.Instance
	case *hostmsg.ProcessStarted:
		return m.Instance
	case *hostmsg.ProcessEnded:
		return m.Instance
	case *hostmsg.InstanceChanged:
		return m.Instance
	case *hostmsg.Uploaded:
		return m.Instance
	}
	return ""
}

func (r *reporting) take(m any) error {
	switch m := m.(type) {
	case *hostmsg.WantUpload:
		return r.wantUpload(m)
	case *hostmsg.Uploaded:
		return r.uploaded(m)
	}
	i := r.known[about(m)]
	if i == nil || i.endedAt != nil {
		return nil
	}
	switch m := m.(type) {
	case *hostmsg.Progress:
		return r.progress(i, m)
	case *hostmsg.ProcessStarted:
		return r.launched(i)
	case *hostmsg.ProcessEnded:
		return r.exited(i, m)
	case *hostmsg.InstanceChanged:
		return r.moved(i, m.Status)
	}
	return nil
}

// leads tells whether the steps of an instance are those of its new place.
func (r *reporting) leads(i *instance) (bool, error) {
	n, read := r.notes[i.place()]
	if !read {
		var err error
		if n, err = noteTx(r.tx, i.place()); err != nil {
			return false, err
		}
		r.notes[i.place()] = n
	}
	return !n.made && n.first == i.key, nil
}

func noteTx(tx *store.Tx, p place) (n note, err error) {
	var made int64
	err = tx.QueryRow(`SELECT made, first, strikes, failures FROM instance_place WHERE fleet = $1 AND location = $2`, p.fleet, p.location).
		Scan(&made, &n.first, &n.strikes, &n.failures)
	if errors.Is(err, store.ErrNoRows) {
		return note{made: true}, nil
	}
	n.made = made == 1
	return n, err
}

// step is what a step of preparing an instance means for its new place: the state that begins
// with it, the event that tells of it, and the event of its failure (hosting.md 2.5).
type step struct {
	state  types.FleetStatus
	event  types.EventCode
	words  string
	failed types.EventCode
}

var steps = map[hostmsg.Step]step{
	hostmsg.StepDownload: {state: types.FleetStatusDownloading, failed: types.EventCodeFleetBinaryDownloadFailed},
	hostmsg.StepExtract: {
		state: types.FleetStatusDownloading, event: types.EventCodeFleetCreationExtractingBuild, words: "The build is being extracted",
		failed: types.EventCodeFleetInitializationFailed,
	},
	hostmsg.StepInstall: {
		state: types.FleetStatusDownloading, event: types.EventCodeFleetCreationRunningInstaller, words: "The install script is running",
		failed: types.EventCodeFleetCreationFailedInstaller,
	},
	hostmsg.StepInstalled: {
		state: types.FleetStatusDownloading, event: types.EventCodeFleetCreationCompletedInstaller, words: "The install script ended well",
		failed: types.EventCodeFleetCreationFailedInstaller,
	},
	hostmsg.StepValidate: {
		state: types.FleetStatusValidating, event: types.EventCodeFleetCreationValidatingRuntimeConfig, words: "The launch paths of the runtime configuration are being checked",
		failed: types.EventCodeFleetValidationLaunchPathNotFound,
	},
	hostmsg.StepExecutable: {
		state: types.FleetStatusValidating, failed: types.EventCodeFleetValidationExecutableRuntimeFailure,
	},
	hostmsg.StepLaunched:       {state: types.FleetStatusActivating, failed: types.EventCodeFleetActivationFailed},
	hostmsg.StepInitialization: {failed: types.EventCodeFleetInitializationFailed},
}

func (r *reporting) progress(i *instance, m *hostmsg.Progress) error {
	st, known := steps[m.Step]
	if !known {
		st = steps[hostmsg.StepInitialization]
	}
	leads, err := r.leads(i)
	if err != nil {
		return err
	}
	switch fleets := r.s.Fleets; {
	case m.Failed && leads:
		reason := or(m.Reason, "the agent gave no reason") + ", host " + r.name
		return fleets.FailLogTx(r.tx, i.fleetID, i.location, st.failed, reason, m.Log)
	case m.Failed:
		return r.event(i, types.EventCodeInstanceReplacedUnhealthy, fmt.Sprintf("An instance on host %s did not start (%s): %s",
			r.name, strings.ToLower(string(m.Step)), or(m.Reason, "the agent gave no reason")))
	case !leads || st.state == "":
		return nil
	default:
		if err := fleets.AdvanceTx(r.tx, i.fleetID, i.location, st.state); err != nil || st.event == "" || string(i.location) != r.s.Home.Region {
			return err
		}
		return fleets.StepEventTx(r.tx, i.fleetID, st.event, st.words+", host "+r.name, m.Log)
	}
}

func (r *reporting) event(i *instance, code types.EventCode, message string) error {
	return r.s.Fleets.EventTx(r.tx, i.fleetID, code, message)
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// launched notes that a first process runs.
func (r *reporting) launched(i *instance) error {
	leads, err := r.leads(i)
	if err != nil || !leads {
		return err
	}
	return r.s.Fleets.AdvanceTx(r.tx, i.fleetID, i.location, types.FleetStatusActivating)
}

// reasons are the agents' reasons as compute has them.
var reasons = map[hostmsg.ExitReason]compute.EndReason{
	hostmsg.ExitNormal:       compute.Normal,
	hostmsg.ExitCrashed:      compute.Crashed,
	hostmsg.ExitForced:       compute.Forced,
	hostmsg.ExitInvalidPath:  compute.InvalidPath,
	hostmsg.ExitTimeout:      compute.ExitTimeout,
	hostmsg.ExitReadyTimeout: compute.ReadyTimeout,
	hostmsg.ExitInitTimeout:  compute.InitTimeout,
	hostmsg.ExitUnhealthy:    compute.Unhealthy,
	hostmsg.ExitShutdown:     compute.Shutdown,
	hostmsg.ExitCustomer:     compute.Normal,
}

// exitOf is the reason with which an agent is told to kill.
func exitOf(why compute.EndReason) hostmsg.ExitReason {
	switch why {
	case compute.Unhealthy:
		return hostmsg.ExitUnhealthy
	case compute.ReadyTimeout:
		return hostmsg.ExitReadyTimeout
	case compute.InitTimeout:
		return hostmsg.ExitInitTimeout
	case compute.ExitTimeout:
		return hostmsg.ExitTimeout
	case compute.Crashed:
		return hostmsg.ExitCrashed
	case compute.Shutdown, compute.HostLost, compute.FleetDeleted, compute.LocationDeleted, compute.Deregistered:
		return hostmsg.ExitShutdown
	default:
		return hostmsg.ExitForced
	}
}

// exited takes in that a process is gone. While no process of a new place was ready, ends are
// counted: the fleet fails when there are too many, or when one took its whole time in vain.
func (r *reporting) exited(i *instance, m *hostmsg.ProcessEnded) error {
	why, known := reasons[m.Reason]
	if !known {
		why = compute.Crashed
	}
	detail := m.Detail
	if why == compute.Crashed {
		detail = strings.TrimSuffix(fmt.Sprintf("exit code %d, %s", m.ExitCode, m.Detail), ", ")
	}
	if _, err := r.s.Computes.ExitedTx(r.tx, compute.Exit{Compute: i.compute, ProcessID: m.Process, Why: why, Detail: detail}); err != nil {
		return err
	}
	leads, err := r.leads(i)
	if err != nil || !leads || i.ready {
		return err
	}
	n := r.notes[i.place()]
	switch why {
	case compute.ReadyTimeout, compute.InitTimeout:
		n.strikes = r.s.Config.orDefaults().Strikes
	case compute.Shutdown:
		return nil
	default:
		n.strikes++
	}
	r.notes[i.place()] = n
	if _, err := r.tx.Exec(`UPDATE instance_place SET strikes = $3 WHERE fleet = $1 AND location = $2`, i.fleet, i.location, n.strikes); err != nil {
		return err
	}
	if n.strikes < r.s.Config.orDefaults().Strikes {
		return nil
	}
	return r.s.Fleets.FailTx(r.tx, i.fleetID, i.location, types.EventCodeFleetActivationFailed,
		fmt.Sprintf("No server process called ProcessReady() on host %s; the last one %s", r.name, inWords(why, detail)))
}

// inWords is how a process ended, for people.
func inWords(why compute.EndReason, detail string) string {
	words := map[compute.EndReason]string{
		compute.Normal:       "ended by itself",
		compute.Crashed:      "crashed",
		compute.InvalidPath:  "has a launch path that is not there",
		compute.InitTimeout:  "did not call InitSDK() in time",
		compute.ReadyTimeout: "did not call ProcessReady() in time after InitSDK()",
	}[why]
	if words == "" {
		words = "was ended (" + string(why) + ")"
	}
	if detail != "" {
		words += ": " + detail
	}
	return words
}

// moved takes in another state of an instance. One that ended although it is wanted is
// replaced, after a pause that grows.
func (r *reporting) moved(i *instance, to hostmsg.InstanceStatus) error {
	if i.actual == lost && to != hostmsg.Gone && to != hostmsg.Failed {
		return nil
	}
	switch to {
	case hostmsg.Preparing, hostmsg.Running, hostmsg.Draining:
		i.actual = actual(to)
		r.changed[i.id] = i.actual
		if to == hostmsg.Running {
			return r.launched(i)
		}
		return nil
	case hostmsg.Gone:
		return r.ended(i, gone)
	case hostmsg.Failed:
		if _, err := r.tx.Exec(`UPDATE host SET failed_at = $2 WHERE key = $1`, r.host, r.tx.NowMs()); err != nil {
			return err
		}
		if err := sendTx(r.tx, r.host, &hostmsg.Stop{Instance: i.id, Force: true}); err != nil {
			return err
		}
		return r.ended(i, failed)
	default:
		return nil
	}
}

func (r *reporting) ended(i *instance, as actual) error {
	delete(r.changed, i.id)
	i.endedAt = new(r.tx.NowMs())
	if !i.ending() && i.actual != lost {
		if err := r.s.setBackTx(r.tx, i.place()); err != nil {
			return err
		}
		if as == gone {
			if err := r.event(i, types.EventCodeInstanceReplacedUnhealthy, "An instance on host "+r.name+" ended unasked and is replaced"); err != nil {
				return err
			}
		}
	}
	return r.s.endTx(r.tx, *i, as, compute.Shutdown)
}

// setBackTx lets a place wait before its next instance, longer with each failure in a row.
func (s *Service) setBackTx(tx *store.Tx, p place) error {
	n, err := noteTx(tx, p)
	if err != nil {
		return err
	}
	pause := min(retryMost, retryFirst<<min(n.failures, 12))
	_, err = tx.Exec(`UPDATE instance_place SET failures = failures + 1, retry_at = $3 WHERE fleet = $1 AND location = $2`,
		p.fleet, p.location, tx.Now.Add(pause).UnixMilli())
	return err
}

// save writes the states that changed.
func (r *reporting) save() error {
	rows := make([][]any, 0, len(r.changed))
	for id, to := range r.changed {
		rows = append(rows, []any{r.known[id].key, to, r.tx.NowMs()})
	}
	_, err := r.tx.ExecMany(`UPDATE instance SET actual = $2, at = $3 WHERE key = $1 AND actual <> $2 AND actual <> 'LOST' AND ended_at IS NULL`, rows)
	return err
}

// Noted lets the agent of a process's host know what happened to the process, for
// compute.Service.Noted. The first process that is ready makes its instance active, and a
// new place.
func (s *Service) Noted(tx *store.Tx, p compute.Process, n compute.Note, why compute.EndReason) error {
	i, ok, err := ofCompute(tx, p.ComputeKey)
	if err != nil || !ok {
		return err
	}
	var m any
	switch n {
	case compute.NoteDialled:
		m = &hostmsg.Dialled{Instance: i.id, Process: p.ProcessID}
	case compute.NoteReady:
		if err := s.readyTx(tx, i); err != nil {
			return err
		}
		m = &hostmsg.Registered{Instance: i.id, Process: p.ProcessID, LogPaths: p.LogPaths}
		if i.ending() { // the agent launched it before it heard of that: it was not among those that were asked to end
			m = endMessage(p, compute.Shutdown)
		}
	case compute.NoteEnding, compute.NoteKill:
		m = endMessage(p, why)
	default:
		return fmt.Errorf("note %d is unknown", n)
	}
	return sendTx(tx, i.host, m)
}

func (s *Service) readyTx(tx *store.Tx, i instance) error {
	if i.ready {
		return nil
	}
	if _, err := tx.Exec(`UPDATE instance SET ready = 1 WHERE key = $1`, i.key); err != nil {
		return err
	}
	n, err := noteTx(tx, i.place())
	if err != nil || n.made && n.failures == 0 {
		return err
	}
	if _, err := tx.Exec(`UPDATE instance_place SET made = 1, failures = 0 WHERE fleet = $1 AND location = $2`, i.fleet, i.location); err != nil || n.made {
		return err
	}
	return s.Fleets.AdvanceTx(tx, i.fleetID, i.location, types.FleetStatusActive)
}

// Hosting lets agents know which game sessions their processes host, for
// session.Service.Hosting.
func (s *Service) Hosting(tx *store.Tx, games []session.Hosted) error {
	keys := make([]store.Key, len(games))
	for i, g := range games {
		keys[i] = g.Process
	}
	managed, err := s.Computes.ManagedTx(tx, keys)
	if err != nil || len(managed) == 0 {
		return err
	}
	for _, g := range games {
		p, ok := managed[g.Process]
		if !ok {
			continue
		}
		i, ok, err := ofCompute(tx, p.ComputeKey)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := sendTx(tx, i.host, &hostmsg.Hosting{Instance: i.id, Process: p.ProcessID, GameSession: string(g.Game)}); err != nil {
			return err
		}
	}
	return nil
}

// unix is an instant of a column.
func unix(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
