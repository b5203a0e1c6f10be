package sim

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Generate draws a stream. The same profile and seed give the same stream. hours, when it
// is not zero, replaces the profile's.
func (p *Profile) Generate(seed uint64, hours float64) (*Stream, error) {
	if hours != 0 {
		q := *p
		q.Hours = hours
		p = &q
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	sizes, err := counts(p.PartySizes, maxParty)
	if err != nil {
		return nil, err
	}
	g := generator{
		p: p, rng: rand.New(rand.NewPCG(seed, 0x6d617463687961)),
		sizes: weigh(sizes), attributes: slices.Sorted(maps.Keys(p.Attributes)),
		lists: map[string]weights[int]{}, choices: map[string]weights[string]{},
	}
	regions := map[int]float64{}
	for i, r := range p.Regions {
		regions[i] = r.Share
	}
	g.regions = weigh(regions)
	for _, name := range g.attributes {
		a := p.Attributes[name]
		if a.List != nil {
			n, err := counts(a.List.Count, len(a.List.Of))
			if err != nil {
				return nil, err
			}
			g.lists[name], g.choices[name] = weigh(n), weigh(a.List.Of)
		} else {
			g.choices[name] = weigh(a.Choice)
		}
	}
	s := &Stream{Name: p.Name, Matchmaker: p.Matchmaker, Length: time.Duration(p.Hours * float64(time.Hour)).Round(time.Millisecond)}
	g.arrive(s)
	return s, s.finish()
}

type generator struct {
	p          *Profile
	rng        *rand.Rand
	sizes      weights[int]
	regions    weights[int]
	attributes []string
	lists      map[string]weights[int]
	choices    map[string]weights[string]
}

// arrive draws a Poisson stream whose rate follows the day: at the highest rate, of which
// what is too much is left out.
func (g *generator) arrive(s *Stream) {
	peak := 1.0
	if len(g.p.Arrivals.Day) > 0 {
		peak = slices.Max(g.p.Arrivals.Day)
	}
	perSecond := g.p.Arrivals.TicketsPerHour * peak / 3600
	if perSecond <= 0 {
		return
	}
	for at := g.rng.ExpFloat64() / perSecond; at < s.Length.Seconds(); at += g.rng.ExpFloat64() / perSecond {
		if g.rng.Float64()*peak < g.p.Arrivals.factor(g.p.StartHour+at/3600) && len(s.Tickets) < MaxTickets {
			s.Tickets = append(s.Tickets, g.ticket(len(s.Tickets)+1, at))
		}
	}
}

// factor is the rate's factor at an hour of the day, in a straight line between hours.
func (a Arrivals) factor(hour float64) float64 {
	if len(a.Day) == 0 {
		return 1
	}
	whole, part := math.Modf(hour)
	from, to := a.Day[int(whole)%24], a.Day[(int(whole)+1)%24]
	return from + (to-from)*part
}

func (g *generator) ticket(n int, at float64) Ticket {
	t := Ticket{ID: fmt.Sprintf("t-%07d", n), At: math.Round(at*1000) / 1000}
	size := g.sizes.draw(g.rng)
	t.Players = make([]Player, size)
	for i := range t.Players {
		t.Players[i].ID = fmt.Sprintf("p-%07d-%d", n, i+1)
		if len(g.attributes) > 0 {
			t.Players[i].Attributes = make(map[string]Value, len(g.attributes))
		}
	}
	if len(g.p.Regions) > 0 {
		r := g.p.Regions[g.regions.draw(g.rng)]
		t.Region = r.Name
		for i := range t.Players {
			if len(r.Latency) > 0 {
				t.Players[i].LatencyInMs = make(map[string]int32, len(r.Latency))
			}
		}
		for _, location := range slices.Sorted(maps.Keys(r.Latency)) {
			for i := range t.Players {
				ms := r.Latency[location].draw(g.rng.Float64(), g.rng.NormFloat64())
				t.Players[i].LatencyInMs[location] = int32(math.Round(min(max(ms, 1), 10_000)))
			}
		}
	}
	for _, name := range g.attributes {
		g.attribute(name, t.Players)
	}
	if g.rng.Float64() < g.p.Leaving.Share {
		t.LeaveAfter = max(0.001, math.Round(min(g.rng.ExpFloat64()*g.p.Leaving.MeanSeconds, maxSeconds)*1000)/1000)
	}
	t.Answer = g.answer()
	return t
}

// attribute draws one attribute for the players of a party.
func (g *generator) attribute(name string, party []Player) {
	a := g.p.Attributes[name]
	if a.Number != nil {
		part, common := g.rng.Float64(), g.rng.NormFloat64()
		for i := range party {
			own, z := g.rng.Float64(), g.rng.NormFloat64()
			if i == 0 || g.rng.Float64() < a.Together {
				own = part
			}
			z = math.Sqrt(a.Together)*common + math.Sqrt(1-a.Together)*z
			party[i].Attributes[name] = Value{N: new(a.Number.draw(own, z))}
		}
		return
	}
	for i := range party {
		if i > 0 && g.rng.Float64() < a.Together {
			party[i].Attributes[name] = party[0].Attributes[name]
			continue
		}
		party[i].Attributes[name] = g.value(name, a)
	}
}

func (g *generator) value(name string, a Attribute) Value {
	switch {
	case a.List != nil:
		return Value{SL: g.choices[name].several(g.rng, g.lists[name].draw(g.rng))}
	case a.Map != nil:
		numbers := map[string]float64{}
		for _, key := range slices.Sorted(maps.Keys(a.Map)) {
			numbers[key] = a.Map[key].draw(g.rng.Float64(), g.rng.NormFloat64())
		}
		return Value{SDM: numbers}
	}
	return Value{S: new(g.choices[name].draw(g.rng))}
}

// answer draws the proposal that the ticket will not accept, if any.
func (g *generator) answer() *Answer {
	w := g.p.Answers
	if !g.p.Matchmaker.AcceptanceRequired {
		return nil
	}
	a := &Answer{AfterSeconds: math.Round(min(g.rng.ExpFloat64()*w.MeanSeconds, 600)*1000) / 1000}
	for n := 1; n <= 20; n++ {
		if g.rng.Float64() >= w.Accept {
			a.Refuses, a.Silent = n, g.rng.Float64() < w.Silent
			break
		}
	}
	return a
}

// draw gives a number for a place in a mixture (0 to 1) and a standard normal number.
func (d Distribution) draw(place, z float64) float64 {
	v := d.Mean + d.Deviation*z
	switch {
	case len(d.Mixture) > 0:
		part, rest := d.pick(place)
		v = part.draw(rest, z)
	case d.Low != nil:
		v = *d.Low + (*d.High-*d.Low)*(1+math.Erf(z/math.Sqrt2))/2
	}
	if d.Least != nil {
		v = max(v, *d.Least)
	}
	if d.Most != nil {
		v = min(v, *d.Most)
	}
	if d.Whole {
		return math.Round(v)
	}
	return math.Round(v*100) / 100
}

// pick is the part of a mixture at a place, and the place within it.
func (d Distribution) pick(place float64) (Distribution, float64) {
	total := 0.0
	for _, part := range d.Mixture {
		total += part.Share
	}
	left := place * total
	for _, part := range d.Mixture {
		if left < part.Share {
			return part, left / part.Share
		}
		left -= part.Share
	}
	return d.Mixture[len(d.Mixture)-1], 0
}

// weights are values with their shares, in the order of the values.
type weights[T cmp.Ordered] struct {
	values []T
	upTo   []float64
}

func weigh[T cmp.Ordered](shares map[T]float64) weights[T] {
	var w weights[T]
	total := 0.0
	for _, v := range slices.Sorted(maps.Keys(shares)) {
		total += shares[v]
		w.values, w.upTo = append(w.values, v), append(w.upTo, total)
	}
	return w
}

func (w weights[T]) draw(rng *rand.Rand) T {
	at := rng.Float64() * w.upTo[len(w.upTo)-1]
	i, _ := slices.BinarySearchFunc(w.upTo, at, func(upTo, at float64) int {
		if upTo <= at {
			return -1
		}
		return 1
	})
	return w.values[min(i, len(w.values)-1)]
}

// several are up to n different values, in the order they were drawn.
func (w weights[T]) several(rng *rand.Rand, n int) []T {
	var out []T
	for tries := 0; len(out) < n && tries < 50*n; tries++ {
		if v := w.draw(rng); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
