package flexmatch

import (
	"math"
	"slices"
)

// sortRule orders the other tickets of a batch relative to the anchor and rejects none
// (spec 1.5): distanceSort by the distance to the anchor's value, absoluteSort by the
// value itself. Of a map, the key with the anchor's highest or lowest value counts.
//
// Not settled by AWS, and chosen here: a ticket without the key counts as 0; a string is
// at distance 0 when it equals the anchor's and 1 when not, and absoluteSort puts equal
// strings first when descending, last when ascending.
type sortRule struct {
	distance   bool
	descending bool
	attr       int
	typ        AttributeType
	highest    bool // of a map: the key with the anchor's highest value
	party      aggregation
}

func parseSort(p *parser, o object) ruleSpec {
	r := &sortRule{distance: o.members["type"] == "distanceSort", party: p.aggregation(o)}
	r.descending = o.choice("sortDirection", "", "ascending", "descending") == "descending"
	name := o.text("sortAttribute", true)
	i, ok := p.rs.attribute(name)
	if !ok {
		if name != "" {
			o.wrong("sortAttribute", "unknown attribute %q", name)
		}
		return r
	}
	r.attr, r.typ = i, p.rs.Attributes[i].Type
	switch r.typ {
	case StringList:
		o.wrong("sortAttribute", "%q is a string_list, which has no order", name)
	case StringNumberMap:
		r.highest = o.choice("mapKey", "", "minValue", "maxValue") == "maxValue"
	case String, Number:
	}
	return r
}

func (r *sortRule) compile(c *compiler) compiledRule {
	if r.typ == Number {
		c.numberColumn(r.attr, r.party)
	}
	return compiledRule{}
}

// key gives the sort key of a ticket for an anchor: lower goes first.
func (r *sortRule) key(p *columns, anchor int32) func(ticket int32) float64 {
	sign := 1.0
	if r.descending {
		sign = -1
	}
	var of func(ticket int32) float64
	switch r.typ {
	case Number:
		col := slices.Index(p.prog.numbers, column{r.attr, r.party})
		of = func(t int32) float64 { return p.ticketNumber(col, t, r.party) }
	case StringNumberMap:
		key, ok := p.extremeKey(r.attr, anchor, r.highest, r.party)
		if !ok {
			return func(int32) float64 { return 0 }
		}
		of = func(t int32) float64 { return p.ticketMapNumber(r.attr, key, t, r.party) }
	default:
		own := p.pStr[r.attr][p.firstPlayer(anchor)]
		return func(t int32) float64 {
			equal := p.pStr[r.attr][p.firstPlayer(t)] == own
			if equal == r.distance {
				return 0
			}
			return sign
		}
	}
	if !r.distance {
		return func(t int32) float64 { return sign * of(t) }
	}
	from := of(anchor)
	return func(t int32) float64 { return sign * math.Abs(of(t)-from) }
}
