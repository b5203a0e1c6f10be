package matchmaking

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// roster is who plays in a match: its teams in order, and their players.
type roster []flexmatch.MatchTeam

// rosterOf are the players of tickets by their teams, which are in the order of the rule set;
// a team that it does not have (any more) comes after.
func rosterOf(rs *flexmatch.RuleSet, list []*ticket) (r roster) {
	at := map[string]int{}
	for _, name := range rs.TeamNames() {
		at[name] = len(r)
		r = append(r, flexmatch.MatchTeam{Name: name})
	}
	for _, t := range list {
		for i, p := range t.Players {
			k, known := at[p.Team]
			if !known {
				k = len(r)
				at[p.Team] = k
				r = append(r, flexmatch.MatchTeam{Name: p.Team})
			}
			r[k].Players = append(r[k].Players, t.wire[i])
		}
	}
	return slices.DeleteFunc(r, func(t flexmatch.MatchTeam) bool { return len(t.Players) == 0 })
}

func (r roster) players() (n int) {
	for _, t := range r {
		n += len(t.Players)
	}
	return n
}

// listed are the players as a backfill ticket lists them, with their teams.
func (r roster) listed() (list []types.Player) {
	for _, t := range r {
		for _, p := range t.Players {
			p.Team = new(t.Name)
			list = append(list, p)
		}
	}
	return list
}

// matchmakerData is what a game session is told of its match (flexmatch.md 2.11): the order
// of the members and the trailing nulls are those of the service. Numbers have a fraction, as
// there. auto is the automatic backfill ticket; "" for none.
func matchmakerData(match, configuration string, rs *flexmatch.RuleSet, r roster, mode types.BackfillMode, auto string) string {
	var b bytes.Buffer
	b.WriteString(`{"matchId":`)
	quote(&b, match)
	b.WriteString(`,"matchmakingConfigurationArn":`)
	quote(&b, configuration)
	b.WriteString(`,"teams":[`)
	for i, t := range r {
		comma(&b, i)
		b.WriteString(`{"name":`)
		quote(&b, t.Name)
		b.WriteString(`,"players":[`)
		for k, p := range t.Players {
			comma(&b, k)
			b.WriteString(`{"playerId":`)
			quote(&b, *p.PlayerId)
			b.WriteString(`,"attributes":{`)
			writeAttributes(&b, rs, p)
			b.WriteString(`}}`)
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`],"autoBackfillMode":`)
	if mode == types.BackfillModeAutomatic {
		quote(&b, string(mode))
	} else {
		b.WriteString("null")
	}
	b.WriteString(`,"autoBackfillTicketId":`)
	if auto != "" {
		quote(&b, auto)
	} else {
		b.WriteString("null")
	}
	b.WriteString(`}`)
	return b.String()
}

// writeAttributes writes the attributes that the rule set declares, with their defaults.
func writeAttributes(b *bytes.Buffer, rs *flexmatch.RuleSet, p types.Player) {
	n := 0
	for _, a := range rs.Attributes {
		v := a.Value(p)
		if v == nil {
			continue
		}
		comma(b, n)
		n++
		quote(b, a.Name)
		switch v := v.(type) {
		case float64:
			b.WriteString(`:{"attributeType":"DOUBLE","valueAttribute":`)
			number(b, v)
		case string:
			b.WriteString(`:{"attributeType":"STRING","valueAttribute":`)
			quote(b, v)
		case []string:
			b.WriteString(`:{"attributeType":"STRING_LIST","valueAttribute":[`)
			for i, s := range v {
				comma(b, i)
				quote(b, s)
			}
			b.WriteByte(']')
		case map[string]float64:
			b.WriteString(`:{"attributeType":"STRING_DOUBLE_MAP","valueAttribute":{`)
			for i, k := range sortedKeys(v) {
				comma(b, i)
				quote(b, k)
				b.WriteByte(':')
				number(b, v[k])
			}
			b.WriteByte('}')
		}
		b.WriteByte('}')
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func comma(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

// quote writes a JSON string without the escapes that HTML would need.
func quote(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // strings always encode
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
}

// number writes a number with a fraction, or an exponent.
func number(b *bytes.Buffer, v float64) {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	b.WriteString(text)
	if !bytes.ContainsAny([]byte(text), ".e") {
		b.WriteString(".0")
	}
}
