package placement

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// This file is what the matchmaking room needs: placements that it starts for its matches,
// and word of what became of them.

// Match is a match to be placed.
type Match struct {
	ID         string // of its placement, not used yet
	Queue      string // name
	Maximum    int32
	Data       *string
	Matchmaker *string
	Properties []types.GameProperty
	Players    []session.Seat
	Latencies  []Latency
}

// Latency is what a player measured to a location.
type Latency struct {
	Player   string
	Location string
	Ms       float64
}

// StartTx takes placements of matches in, as StartGameSessionPlacement does. errs has an
// element for each: the refusal of one, which has left no trace.
func (s *Service) StartTx(tx *store.Tx, matches []Match) (errs []error, err error) {
	for chunk := range slices.Chunk(matches, mostClaims) {
		calls := make([]*starting, len(chunk))
		for i, m := range chunk {
			c := &starting{id: m.ID, queue: m.Queue, maximum: m.Maximum, asked: request{
				Data: m.Data, Properties: merged(m.Properties), Players: m.Players, Matchmaker: m.Matchmaker,
			}}
			for _, l := range m.Latencies {
				c.asked.Latencies = append(c.asked.Latencies, latency(l))
			}
			text, err := json.Marshal(c.asked)
			if err != nil {
				return nil, err
			}
			c.text, calls[i] = string(text), c
		}
		_, refused, err := s.startTx(tx, calls)
		if err != nil {
			return nil, err
		}
		errs = append(errs, refused...)
	}
	return errs, nil
}

// ParseQueue is the name of the queue that a name or an ARN means; field is for the error.
func ParseQueue(field, text string) (string, error) { return parseQueue(field, text) }

// QueueExistsTx tells whether there is a queue of that name.
func (s *Service) QueueExistsTx(tx *store.Tx, name string) (bool, error) {
	return s.ExistsTx(tx, queueKind, name)
}

// Outcome is what became of a placement.
type Outcome struct {
	ID     string
	Status types.GameSessionPlacementState

	// Of a FULFILLED one.
	Game    store.Key
	ARN     arn.GameSessionID
	IP      string
	DNS     *string
	Port    int32
	Players map[string]string // player session ids by player id
}

// tell passes on what became of placements.
func (s *Service) tell(tx *store.Tx, list []placement, players map[store.Key][]placed) error {
	if s.Outcome == nil || len(list) == 0 {
		return nil
	}
	outcomes := make([]Outcome, len(list))
	for i, p := range list {
		o := Outcome{ID: p.id, Status: p.status.model()}
		if p.status == fulfilled {
			if p.game == nil || p.gameARN == nil || p.ip == nil || p.port == nil {
				return fmt.Errorf("placement %s is fulfilled without a game session", p.id)
			}
			o.Game, o.ARN, o.IP, o.DNS, o.Port = *p.game, arn.GameSessionID(*p.gameARN), *p.ip, p.dns, *p.port
			o.Players = make(map[string]string, len(players[p.key]))
			for _, one := range players[p.key] {
				o.Players[one.Player] = one.Session
			}
		}
		outcomes[i] = o
	}
	return s.Outcome(tx, outcomes)
}
