package flexmatch

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Ticket is one request in the pool. The pool keeps it and reads it; it must not change
// while it is there.
type Ticket struct {
	ID    string
	Start time.Time // when the request was made; it survives a failed proposal
	// Players are one party, or, of a backfill ticket, the players of a running session
	// with their teams. Attributes that the rule set does not declare are passed over.
	Players  []types.Player
	Backfill bool
}

// CheckAttributes refuses a player attribute of another type than the rule set declares;
// StartMatchmaking answers InvalidRequestException with it (spec 1.2). A missing attribute
// is no fault: the ticket waits and never matches.
func (rs *RuleSet) CheckAttributes(players []types.Player) error {
	for i, p := range players {
		for _, a := range rs.Attributes {
			v, ok := p.PlayerAttributes[a.Name]
			if !ok {
				continue
			}
			if _, err := a.read(v); err != nil {
				return fmt.Errorf("Players[%d].PlayerAttributes[%s] %w", i, a.Name, err)
			}
		}
	}
	return nil
}

// read takes a wire value as the attribute's type: a string, float64, []string without
// repetitions or map[string]float64.
func (a Attribute) read(v types.AttributeValue) (any, error) {
	given := 0
	for _, set := range []bool{v.S != nil, v.N != nil, v.SL != nil, v.SDM != nil} {
		if set {
			given++
		}
	}
	if given > 1 {
		return nil, errors.New("must have exactly one of S, N, SL and SDM")
	}
	switch {
	case a.Type == String && v.S != nil:
		return *v.S, nil
	case a.Type == Number && v.N != nil && !math.IsNaN(*v.N) && !math.IsInf(*v.N, 0):
		return *v.N, nil
	case a.Type == StringList && v.SL != nil:
		return v.SL, nil
	case a.Type == StringNumberMap && v.SDM != nil:
		for k, n := range v.SDM {
			if math.IsNaN(n) || math.IsInf(n, 0) {
				return nil, fmt.Errorf("must hold finite numbers, %q does not", k)
			}
		}
		return v.SDM, nil
	}
	return nil, fmt.Errorf("must be a %s", a.Type)
}

// Value is the player's value of the attribute, its default, or nil when there is
// neither or the value is of another type: a string, float64, []string or
// map[string]float64.
func (a Attribute) Value(p types.Player) any {
	if v, ok := p.PlayerAttributes[a.Name]; ok {
		if got, err := a.read(v); err == nil {
			return got
		}
		return nil // of another type: as good as missing
	}
	return a.Default
}

// playerID is the player's id; the edge refuses requests without one.
func playerID(p types.Player) string {
	if p.PlayerId == nil {
		return ""
	}
	return *p.PlayerId
}
