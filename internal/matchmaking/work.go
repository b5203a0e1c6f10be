package matchmaking

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/flexmatch"
	"github.com/matchyard/matchyard/internal/flexmatch/lifecycle"
	"github.com/matchyard/matchyard/internal/store"
)

// Channel is where a transaction notifies that changed what a pool should know: with the key
// of the configuration, and behind it the ids of tickets that left. Service.Heard takes it.
const Channel = "matchmaking"

// work is what a transaction does to tickets of one configuration: transitions change
// tickets and tell events, save writes it all.
type work struct {
	s     *Service
	tx    *store.Tx
	c     configuration
	rules lifecycle.Config

	touched  []*ticket
	events   []event.Event
	inPool   bool // the pool itself is at work: it needs no word of what happens
	waited   bool // estimate has been read
	estimate *int32

	// What events tell besides, by match; metrics also by ticket.
	metrics     map[string][]flexmatch.RuleMetric
	sessions    map[string]map[string]string
	connections map[string]*connection
	hints       map[string]string // locations
}

func (s *Service) work(tx *store.Tx, c configuration) *work {
	return &work{
		s: s, tx: tx, c: c, rules: s.rules(c), metrics: map[string][]flexmatch.RuleMetric{}, sessions: map[string]map[string]string{},
		connections: map[string]*connection{}, hints: map[string]string{},
	}
}

// rules are what a configuration says about its tickets' lives.
func (s *Service) rules(c configuration) lifecycle.Config {
	return lifecycle.Config{
		AcceptanceRequired: c.AcceptanceRequired, AcceptanceTimeout: c.AcceptanceTimeout, RequestTimeout: c.RequestTimeout,
		Standalone: c.Standalone, SilentSearchOn: s.Config.SilentSearchOn,
	}
}

func (w *work) wait() (*int32, error) {
	if w.waited {
		return w.estimate, nil
	}
	var err error
	w.estimate, err = estimatedWait(w.tx, w.c.Key)
	w.waited = err == nil
	return w.estimate, err
}

// touch notes tickets that transitions have changed.
func (w *work) touch(list ...*ticket) {
	for _, t := range list {
		if !slices.Contains(w.touched, t) {
			w.touched = append(w.touched, t)
		}
	}
}

// proposal is a match of tickets for the lifecycle.
func proposal(list []*ticket) *lifecycle.Proposal {
	p := &lifecycle.Proposal{}
	for _, t := range list {
		p.MatchID = t.MatchID
		p.Tickets = append(p.Tickets, &t.Ticket)
	}
	return p
}

// save writes the tickets that were touched, gives the players of ended ones free, tells the
// game servers of ended backfills and the pool, and appends the events.
func (w *work) save() error {
	var left [][]any
	var ended []*ticket
	var gone []string
	back := false
	for _, t := range w.touched {
		was := t.status
		t.status = statusOf(t.Status)
		if t.status == searching && !w.inPool {
			t.status, back = returned, true
			t.until = t.Start.Add(w.c.RequestTimeout)
		}
		if !t.Final() {
			continue
		}
		for _, p := range t.Players {
			left = append(left, []any{fingerprint(p.ID), t.key})
		}
		if was <= searching {
			gone = append(gone, t.ID)
		}
		if t.Backfill && t.game != 0 {
			ended = append(ended, t)
		}
	}
	if len(w.touched) > 0 {
		if err := saveTickets(w.tx, w.touched); err != nil {
			return err
		}
	}
	if err := leavePlayers(w.tx, left); err != nil {
		return err
	}
	for _, t := range ended {
		if err := w.tellServer(t); err != nil {
			return err
		}
	}
	if !w.inPool {
		if back {
			w.notify(nil)
		}
		w.notify(gone)
	}
	return w.s.Events.AppendTx(w.tx, w.events...)
}

// backFromPlacing tells the events of tickets that come back from a placement. Where a newer
// ticket has one of their players, they are cancelled instead, and nobody is told
// (flexmatch.md 2.9).
func (w *work) backFromPlacing(events []lifecycle.Event) error {
	var back []*ticket
	var prints []int64
	for _, t := range w.touched {
		if t.Waiting() {
			back = append(back, t)
			for _, p := range t.Players {
				prints = append(prints, fingerprint(p.ID))
			}
		}
	}
	if len(back) == 0 {
		return w.emit(events)
	}
	held, err := holders(w.tx, prints)
	if err != nil {
		return err
	}
	for _, t := range back {
		if slices.ContainsFunc(t.Players, func(p lifecycle.Player) bool { return held[fingerprint(p.ID)] != t.key }) {
			w.rules.Duplicate(&t.Ticket, nil, w.tx.Now)
			events = slices.DeleteFunc(events, func(e lifecycle.Event) bool { return len(e.Tickets) == 1 && e.Tickets[0].ID == t.ID })
		}
	}
	return w.emit(events)
}

var updateReasons = map[lifecycle.Status]compute.UpdateReason{
	lifecycle.Failed:    compute.BackfillFailed,
	lifecycle.TimedOut:  compute.BackfillTimedOut,
	lifecycle.Cancelled: compute.BackfillCancelled,
}

// tellServer tells the game server that its backfill ticket has ended without new players.
// Of a success it was told when the players got their seats.
func (w *work) tellServer(t *ticket) error {
	why, bad := updateReasons[t.Status]
	if !bad {
		return nil
	}
	m, err := w.s.Sessions.MatchedByKeyTx(w.tx, t.game)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.s.Sessions.TellBackfillTx(w.tx, m, why, t.ID)
}

// idsOfOne is how many ids one notification has, at most.
const idsOfOne = 40

// notify tells the pool that tickets came (nil) or left.
func (w *work) notify(gone []string) {
	key := strconv.FormatInt(int64(w.c.Key), 10)
	if gone == nil {
		w.tx.Notify(Channel, key)
		return
	}
	for chunk := range slices.Chunk(gone, idsOfOne) {
		w.tx.Notify(Channel, key+" "+strings.Join(chunk, " "))
	}
}

// configurationChangedTx has the pool read its configuration anew.
func (s *Service) configurationChangedTx(tx *store.Tx, key store.Key) {
	tx.Notify(Channel, strconv.FormatInt(int64(key), 10))
}

// matchID is a match's public id. It is no secret: what may be done with a match is done
// with its tickets. So its tail is made from its key, and need not be kept.
func matchID(key store.Key) string {
	x := uint64(key) * 0x9e3779b97f4a7c15
	return key.UUID(int64((x ^ x>>29) & (1<<52 - 1)))
}

// matchKey undoes it. ok is false for an id that is no match's.
func matchKey(id string) (store.Key, bool) {
	key, _, err := store.ParseUUID(id)
	return key, err == nil && matchID(key) == id
}

// errRaced says that a ticket changed between being read and being locked.
var errRaced = errors.New("changed meanwhile")

const settleTries = 5

// settle runs f until nothing changed under it.
func settle(f func() error) (err error) {
	for range settleTries {
		if err = f(); !errors.Is(err, errRaced) && !errors.Is(err, store.ErrUnique) {
			return err
		}
	}
	return err
}

// held is a ticket that is locked, with all tickets of the match it is in.
type held struct {
	*ticket
	row   matchRow
	match []*ticket // nil when it is in none
}

// holdTx locks a ticket, and before it the match it is in; errRaced when it was moved.
func holdTx(tx *store.Tx, t *ticket) (held, error) {
	inMatch := func(t *ticket) bool { return t.status == requiresAcceptance || t.status == placing }
	if !inMatch(t) {
		list, err := holdTickets(tx, []int64{int64(t.key)})
		if err != nil {
			return held{}, err
		}
		if len(list) == 0 || inMatch(list[0]) {
			return held{}, errRaced
		}
		return held{ticket: list[0]}, nil
	}
	row, err := holdMatch(tx, t.match)
	if errors.Is(err, store.ErrNoRows) {
		return held{}, errRaced
	}
	if err != nil {
		return held{}, err
	}
	list, err := holdMatchTickets(tx, t.match)
	if err != nil {
		return held{}, err
	}
	i := slices.IndexFunc(list, func(o *ticket) bool { return o.key == t.key })
	if i < 0 {
		return held{}, errRaced
	}
	return held{list[i], row, list}, nil
}

// proposal is the open one that the ticket is in; nil when it is in none.
func (h held) proposal() *lifecycle.Proposal {
	if h.status != requiresAcceptance {
		return nil
	}
	p := proposal(h.match)
	if h.row.deadline != nil {
		p.Deadline = stamp(*h.row.deadline)
	}
	return p
}

// matchRow is the row of a match that is open or being placed.
type matchRow struct {
	key           store.Key
	configuration store.Key
	deadline      *int64
	backfill      *string
}

func holdMatch(tx *store.Tx, key store.Key) (m matchRow, err error) {
	err = tx.QueryRow(`SELECT key, configuration, deadline, backfill FROM matchmaking_match WHERE key = $1`+tx.ForUpdate(), key).
		Scan(&m.key, &m.configuration, &m.deadline, &m.backfill)
	return m, err
}

func insertMatches(tx *store.Tx, list []matchRow) error {
	rows := make([][]any, len(list))
	for i, m := range list {
		rows[i] = []any{m.key, m.configuration, m.deadline, m.backfill}
	}
	return tx.InsertMany(`INSERT INTO matchmaking_match (key, configuration, deadline, backfill) VALUES ($1, $2, $3, $4)`, rows)
}

// placeMatch says that an accepted match is being placed.
func placeMatch(tx *store.Tx, key store.Key, backfill *string) error {
	_, err := tx.Exec(`UPDATE matchmaking_match SET deadline = NULL, backfill = $2 WHERE key = $1`, key, backfill)
	return err
}

func deleteMatch(tx *store.Tx, key store.Key) error {
	_, err := tx.Exec(`DELETE FROM matchmaking_match WHERE key = $1`, key)
	return err
}

// overdueMatches are open matches whose acceptance has timed out, the first first.
func overdueMatches(tx *store.Tx, now time.Time, most int) (keys []store.Key, err error) {
	return store.Column[store.Key](tx.Query(`SELECT key FROM matchmaking_match WHERE deadline <= $1 ORDER BY deadline, key LIMIT $2`, now.UnixMilli(), most))
}
