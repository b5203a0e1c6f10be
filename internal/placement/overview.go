package placement

import (
	"encoding/json"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

// Line is a queue as a list shows it.
type Line struct {
	Name           string
	TimeoutSeconds int64
	Destinations   []string
	Waiting        int64 // placements that are pending
}

// LinesTx are all queues, oldest first.
func (s *Service) LinesTx(tx *store.Tx) (list []Line, err error) {
	queues, err := pageOfQueues(tx, nil, 0, 1<<20)
	if err != nil {
		return nil, err
	}
	waiting, err := waitingByQueue(tx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		l := Line{Name: q.name, TimeoutSeconds: int64(q.timeout), Waiting: waiting[q.key]}
		l.Destinations = append(l.Destinations, q.Destinations...)
		list = append(list, l)
	}
	return list, nil
}

func waitingByQueue(tx *store.Tx) (map[store.Key]int64, error) {
	rows, err := tx.Query(`SELECT queue, count(*) FROM placement WHERE deadline IS NOT NULL AND status = 1 GROUP BY queue ORDER BY queue`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	waiting := map[store.Key]int64{}
	for rows.Next() {
		var key store.Key
		var n int64
		if err := rows.Scan(&key, &n); err != nil {
			return nil, err
		}
		waiting[key] = n
	}
	return waiting, rows.Err()
}

// Wish is a placement as a list shows it.
type Wish struct {
	ID        string
	Status    types.GameSessionPlacementState
	Players   int64 // desired player sessions
	Maximum   int64
	Location  string // "" while it has none
	Game      string // ARN
	StartedAt int64  // epoch milliseconds
	EndedAt   int64  // 0: it is pending

	// Of one with players' latencies: the mean of what they measured to where they went, and
	// to the place that would have been best for them all. 0 both when not known.
	Latency, Best float64

	// Lacked is, of one that timed out or failed, what it lacked at its last look.
	Lacked string
}

// WishesTx are placements of a queue: those that are pending, longest waiting first, and then
// those that ended since an instant (epoch milliseconds), latest first, up to most of each.
func (s *Service) WishesTx(tx *store.Tx, queue string, since int64, most int) (list []Wish, err error) {
	q, err := queueByName(tx, queue, "")
	if err != nil {
		return nil, err
	}
	pending, err := scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE p.deadline IS NOT NULL AND p.queue = $1 AND p.status = 1 ORDER BY p.key LIMIT $2`, q.key, int64(most)))
	if err != nil {
		return nil, err
	}
	ended, err := scanPlacements(tx.Query(`SELECT `+placementColumns+` FROM placement p
		WHERE p.ended_at IS NOT NULL AND p.ended_at >= $1 AND p.queue = $2 ORDER BY p.ended_at DESC, p.key DESC LIMIT $3`, since, q.key, int64(most)))
	if err != nil {
		return nil, err
	}
	all := append(pending, ended...)
	regrets, err := latenciesOf(tx, all)
	if err != nil {
		return nil, err
	}
	lacked, err := lackedBy(tx, all)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		w := Wish{
			ID: p.id, Status: p.status.model(), Players: int64(p.players), Maximum: int64(p.maximum), StartedAt: p.startedAt,
			Latency: regrets[p.key].got, Best: regrets[p.key].best, Lacked: lacked[p.key],
		}
		if p.location != nil {
			w.Location = *p.location
		}
		if p.gameARN != nil {
			w.Game = *p.gameARN
		}
		if p.endedAt != nil {
			w.EndedAt = *p.endedAt
		}
		list = append(list, w)
	}
	return list, nil
}

// lackedBy reads what those lacked that timed out or failed.
func lackedBy(tx *store.Tx, list []placement) (map[store.Key]string, error) {
	var keys []int64
	for _, p := range list {
		if p.status == timedOut || p.status == failed {
			keys = append(keys, int64(p.key))
		}
	}
	texts, err := textsOf(tx, keys)
	if err != nil {
		return nil, err
	}
	lacked := make(map[store.Key]string, len(keys))
	for key, t := range texts {
		if lacked[key], err = t.trace.lacked(); err != nil {
			return nil, err
		}
	}
	return lacked, nil
}

// lacked is why no game session came of it, in words that do not tell more than kinds apart.
func (t *trace) lacked() (string, error) {
	if len(t.Attempts) > 0 {
		return "an activation: game sessions that were started did not become ACTIVE", nil
	}
	if len(t.Passes) == 0 {
		return "a look: it ended before its turn", nil
	}
	var last Pass
	if err := json.Unmarshal(t.Passes[len(t.Passes)-1], &last); err != nil {
		return "", err
	}
	for _, e := range last.Excluded {
		if e.Free > 0 {
			return "a place it may use: processes were free only where its latencies or the queue's filter forbid", nil
		}
	}
	if len(last.Candidates) == 0 {
		return "a destination with an ACTIVE location", nil
	}
	where := last.Candidates[0].Location
	if n := len(last.Candidates) + last.MoreCandidates; n > 1 {
		where += " and " + strconv.Itoa(n-1) + " more"
	}
	return "a free process in " + where, nil
}

type regret struct{ got, best float64 }

// latenciesOf reads what the players of fulfilled placements measured.
func latenciesOf(tx *store.Tx, list []placement) (map[store.Key]regret, error) {
	at := map[store.Key]string{}
	var keys []int64
	for _, p := range list {
		if p.status == fulfilled && p.location != nil {
			at[p.key] = *p.location
			keys = append(keys, int64(p.key))
		}
	}
	rows, err := tx.Query(`SELECT t.placement, t.request FROM placement_text t JOIN placement p ON p.key = t.placement
		WHERE p.latent = 1 AND `+tx.In("t.placement", 1), store.List(tx, keys))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	regrets := map[store.Key]regret{}
	for rows.Next() {
		var key store.Key
		var text string
		if err := rows.Scan(&key, &text); err != nil {
			return nil, err
		}
		var r request
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, err
		}
		regrets[key] = r.regret(at[key])
	}
	return regrets, rows.Err()
}

// regret compares the mean latency of the players to a location with that to the best one
// which all who measured that location measured too.
func (r request) regret(at string) regret {
	sum, count := map[string]float64{}, map[string]int{}
	for _, l := range r.Latencies {
		sum[l.Location] += l.Ms
		count[l.Location]++
	}
	if count[at] == 0 {
		return regret{}
	}
	got := sum[at] / float64(count[at])
	best := got
	for location, n := range count {
		if n == count[at] {
			best = min(best, sum[location]/float64(n))
		}
	}
	return regret{got, best}
}
