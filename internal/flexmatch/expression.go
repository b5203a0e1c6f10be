package flexmatch

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Evaluate gives the value and the type of a property expression over a roster: team
// names in order, and each team's players. The value is a float64, a string, nil for no
// value, or a []any of them. Attributes and their types are taken from the players.
func Evaluate(text string, teams []string, players map[string][]types.Player) (v any, typ string, err error) {
	rs := &RuleSet{levels: []level{{}}}
	for i, name := range teams {
		rs.Teams = append(rs.Teams, Team{Name: name, MaxPlayers: max(1, len(players[name])), Quantity: 1})
		rs.teams = append(rs.teams, team{name: name, def: i})
		for _, p := range players[name] {
			rs.declare(p)
		}
	}
	if rs.Large() {
		return nil, "", fmt.Errorf("a roster of more than %d players", MaxSmallMatch)
	}
	rs.levels[0].teams = rs.Teams
	e, err := parseExpr(rs, text)
	if err != nil {
		return nil, "", err
	}
	prog := compile(rs, Options{})
	c := &compiler{rs: rs, sym: prog.sym, prog: prog}
	eval := c.evaluator(e, average, sets{})
	prog.usesIDs = c.usesIDs
	cols := newColumns(prog)
	r := newRoster(cols, len(teams))
	for t, name := range teams {
		for _, p := range players[name] {
			row := cols.add(&Ticket{Players: []types.Player{p}})
			if cols.broken[row] != "" {
				return nil, "", fmt.Errorf("player %s: %s", playerID(p), cols.broken[row])
			}
			r.push(cols.uFirst[row], uint8(t))
		}
	}
	return c.export(eval(r)), e.typ.String(), nil
}

// declare adds the attributes of a player that are not declared yet.
func (rs *RuleSet) declare(p types.Player) {
	for name, v := range p.PlayerAttributes {
		if _, ok := rs.attribute(name); ok {
			continue
		}
		a := Attribute{Name: name, Type: String}
		switch {
		case v.N != nil:
			a.Type = Number
		case v.SL != nil:
			a.Type = StringList
		case v.SDM != nil:
			a.Type = StringNumberMap
		}
		rs.Attributes = append(rs.Attributes, a)
	}
}

// export turns a value into what JSON knows.
func (c *compiler) export(v value) any {
	switch v.kind {
	case aNumber:
		return v.num
	case aString:
		return c.sym.name(v.sym)
	case aSet:
		out := make([]any, len(v.set))
		for i, s := range v.set {
			out[i] = c.sym.name(s)
		}
		return out
	case aList:
		out := make([]any, len(v.list))
		for i, el := range v.list {
			out[i] = c.export(el)
		}
		return out
	case noValue:
	}
	return nil
}
