package matchmaking

import (
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
)

// The limits of a player (flexmatch.md 1.9).
const (
	mostAttributes = 10
	mostListed     = 100
	mostMapped     = 10
)

// kept is a player as a ticket's row has it.
type kept struct {
	ID         string                   `json:"i"`
	Team       *string                  `json:"t,omitempty"`
	Attributes map[string]keptAttribute `json:"a,omitzero"`
	Latency    map[string]int32         `json:"l,omitzero"`
}

type keptAttribute struct {
	S *string            `json:"s,omitempty"`
	N *float64           `json:"n,omitempty"`
	L []string           `json:"l,omitzero"`
	M map[string]float64 `json:"m,omitzero"`
}

// keep is the text of players for a ticket's row.
func keep(list []types.Player) (string, error) {
	all := make([]kept, len(list))
	for i, p := range list {
		k := kept{ID: *p.PlayerId, Team: p.Team, Latency: p.LatencyInMs}
		if p.PlayerAttributes != nil {
			k.Attributes = make(map[string]keptAttribute, len(p.PlayerAttributes))
			for name, a := range p.PlayerAttributes {
				k.Attributes[name] = keptAttribute{a.S, a.N, a.SL, a.SDM}
			}
		}
		all[i] = k
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// unkeep undoes keep.
func unkeep(text string) ([]types.Player, error) {
	var all []kept
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, err
	}
	list := make([]types.Player, len(all))
	for i, k := range all {
		p := types.Player{PlayerId: &all[i].ID, Team: k.Team, LatencyInMs: k.Latency}
		if k.Attributes != nil {
			p.PlayerAttributes = make(map[string]types.AttributeValue, len(k.Attributes))
			for name, a := range k.Attributes {
				p.PlayerAttributes[name] = types.AttributeValue{S: a.S, N: a.N, SL: a.L, SDM: a.M}
			}
		}
		list[i] = p
	}
	return list, nil
}

// checkPlayers refuses players that are wrong in form, and drops repeated values of lists.
// It works on a copy.
func checkPlayers(list []types.Player, most int) ([]types.Player, error) {
	if n := len(list); n < 1 || n > most {
		return nil, apierr.InvalidRequest("Players: %d players in a ticket, want 1 to %d", n, most)
	}
	list = slices.Clone(list)
	seen := make(map[string]bool, len(list))
	for i, p := range list {
		if p.PlayerId == nil || *p.PlayerId == "" {
			return nil, apierr.InvalidRequest("Players[%d].PlayerId: it is required", i)
		}
		if seen[*p.PlayerId] {
			return nil, apierr.InvalidRequest("Players[%d].PlayerId: player %s is given twice", i, *p.PlayerId)
		}
		seen[*p.PlayerId] = true
		if n := len(p.PlayerAttributes); n > mostAttributes {
			return nil, apierr.InvalidRequest("Players[%d].PlayerAttributes: %d attributes, and %d are the most", i, n, mostAttributes)
		}
		for name, a := range p.PlayerAttributes {
			if why := checkAttribute(a); why != "" {
				return nil, apierr.InvalidRequest("Players[%d].PlayerAttributes.%s: %s", i, name, why)
			}
			if len(a.SL) > 1 {
				if unique := distinct(a.SL); len(unique) < len(a.SL) {
					list[i].PlayerAttributes = cloneWith(list[i].PlayerAttributes, name, unique)
				}
			}
		}
	}
	return list, nil
}

func checkAttribute(a types.AttributeValue) string {
	given := 0
	for _, is := range []bool{a.S != nil, a.N != nil, a.SL != nil, a.SDM != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return "it must be exactly one of S, N, SL and SDM"
	case a.N != nil && !finite(*a.N):
		return "it is not a number"
	case len(a.SL) > mostListed:
		return "it has more than 100 strings"
	case len(a.SDM) > mostMapped:
		return "it has more than 10 entries"
	}
	for _, n := range a.SDM {
		if !finite(n) {
			return "it has a value that is not a number"
		}
	}
	return ""
}

func finite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

func distinct(list []string) (unique []string) {
	for _, v := range list {
		if !slices.Contains(unique, v) {
			unique = append(unique, v)
		}
	}
	return unique
}

func cloneWith(attributes map[string]types.AttributeValue, name string, list []string) map[string]types.AttributeValue {
	m := maps.Clone(attributes)
	m[name] = types.AttributeValue{SL: list}
	return m
}
