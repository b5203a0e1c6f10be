package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Profile describes a population of players and when they come. Shares are weights: they
// need not add up to one.
type Profile struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Hours is the length of the stream, and StartHour the hour of the day it begins at.
	Hours     float64  `json:"hours"`
	StartHour float64  `json:"startHour,omitempty"`
	Arrivals  Arrivals `json:"arrivals"`
	// PartySizes are the shares of tickets with so many players: {"1": 0.7, "2": 0.3}.
	// Without it everybody comes alone.
	PartySizes map[string]float64 `json:"partySizes,omitempty"`
	Regions    []Region           `json:"regions,omitempty"`
	// Attributes are drawn for each player; Attribute says how.
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	Leaving    Leaving              `json:"leaving,omitzero"`
	Answers    Answers              `json:"answers,omitzero"`
	Matchmaker Matchmaker           `json:"matchmaker,omitzero"`
}

// Arrivals is how many tickets come.
type Arrivals struct {
	TicketsPerHour float64 `json:"ticketsPerHour"`
	// Day has a factor on that rate for each hour of the day, from midnight; between the
	// hours the rate goes in a straight line. Empty means the same at all hours.
	Day []float64 `json:"day,omitempty"`
}

// Region is where players live, and how far they are from each location.
type Region struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
	// Latency is each location's, in milliseconds. The players of a party live together.
	Latency map[string]Distribution `json:"latency"`
}

// Attribute is how one attribute is drawn: exactly one of the four.
type Attribute struct {
	Number *Distribution `json:"number,omitempty"`
	// Choice is a string out of several, with shares.
	Choice map[string]float64 `json:"choice,omitempty"`
	// List is several different strings out of shares.
	List *List `json:"list,omitempty"`
	// Map is a number for each key.
	Map map[string]Distribution `json:"map,omitempty"`
	// Together is how much the players of a party are alike: 0 not at all, 1 they are the
	// same. Of numbers it is the correlation; of the others, the chance that a player has
	// what the party's first has.
	Together float64 `json:"together,omitempty"`
}

// List draws lists: Count are the shares of lists with so many values.
type List struct {
	Of    map[string]float64 `json:"of"`
	Count map[string]float64 `json:"count,omitempty"`
}

// Distribution is of numbers: normal by mean and deviation, uniform from low to high, or
// a mixture of others. Least and most cut it off; whole rounds it.
type Distribution struct {
	Mean      float64        `json:"mean,omitempty"`
	Deviation float64        `json:"deviation,omitempty"`
	Low       *float64       `json:"low,omitempty"`
	High      *float64       `json:"high,omitempty"`
	Mixture   []Distribution `json:"mixture,omitempty"`
	Share     float64        `json:"share,omitempty"` // in a mixture
	Least     *float64       `json:"least,omitempty"`
	Most      *float64       `json:"most,omitempty"`
	Whole     bool           `json:"whole,omitempty"`
}

// Leaving is who gives up waiting: a share of the tickets, each after a time of its own,
// exponential with this mean.
type Leaving struct {
	Share       float64 `json:"share"`
	MeanSeconds float64 `json:"meanSeconds"`
}

// Answers is how players answer a proposed match, where acceptance is required: the
// chance that a whole ticket accepts, the part of the others who say nothing, and the
// mean time an answer takes.
type Answers struct {
	Accept      float64 `json:"accept"`
	Silent      float64 `json:"silent,omitempty"`
	MeanSeconds float64 `json:"meanSeconds,omitempty"`
}

// ParseProfile reads a profile. Unknown fields are refused: a misspelt one would
// otherwise change the result in silence.
func ParseProfile(body []byte) (*Profile, error) {
	p := &Profile{Answers: Answers{Accept: 1}}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the profile")
	}
	return p, p.check()
}

// check names the first thing wrong.
func (p *Profile) check() error {
	if !(p.Hours > 0 && p.Hours <= maxSeconds/3600) {
		return fmt.Errorf("hours is %v, should be above 0 and at most %d", p.Hours, maxSeconds/3600)
	}
	if !(p.StartHour >= 0 && p.StartHour < 24) {
		return fmt.Errorf("startHour is %v, should be from 0 to below 24", p.StartHour)
	}
	if err := p.Arrivals.check(p.Hours); err != nil {
		return fmt.Errorf("arrivals: %w", err)
	}
	if _, err := counts(p.PartySizes, maxParty); err != nil {
		return fmt.Errorf("partySizes: %w", err)
	}
	for i, r := range p.Regions {
		if err := r.check(); err != nil {
			return fmt.Errorf("regions[%d]: %w", i, err)
		}
	}
	if len(p.Attributes) > 10 {
		return fmt.Errorf("attributes: %d of them, should be at most 10", len(p.Attributes))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
		if err := p.Attributes[name].check(); err != nil {
			return fmt.Errorf("attributes.%s: %w", name, err)
		}
	}
	for _, f := range []struct {
		name       string
		value, max float64
	}{
		{"leaving.share", p.Leaving.Share, 1},
		{"leaving.meanSeconds", p.Leaving.MeanSeconds, maxSeconds},
		{"answers.accept", p.Answers.Accept, 1},
		{"answers.silent", p.Answers.Silent, 1},
		{"answers.meanSeconds", p.Answers.MeanSeconds, 600},
	} {
		if !(f.value >= 0 && f.value <= f.max) {
			return fmt.Errorf("%s is %v, should be from 0 to %v", f.name, f.value, f.max)
		}
	}
	if err := p.Matchmaker.check(); err != nil {
		return fmt.Errorf("matchmaker: %w", err)
	}
	return nil
}

func (a Arrivals) check(hours float64) error {
	if !(a.TicketsPerHour > 0 && a.TicketsPerHour <= MaxTickets) {
		return fmt.Errorf("ticketsPerHour is %v, should be above 0 and at most %d", a.TicketsPerHour, MaxTickets)
	}
	if len(a.Day) != 0 && len(a.Day) != 24 {
		return fmt.Errorf("day has %d factors, should have 24", len(a.Day))
	}
	peak := 1.0
	for i, f := range a.Day {
		if !(f >= 0 && f <= 1000) {
			return fmt.Errorf("day[%d] is %v, should be from 0 to 1000", i, f)
		}
		peak = max(peak, f)
	}
	if n := a.TicketsPerHour * peak * hours; n > MaxTickets {
		return fmt.Errorf("up to %.0f tickets, should be at most %d", n, MaxTickets)
	}
	return nil
}

func (r Region) check() error {
	if r.Name == "" || !(r.Share > 0 && r.Share <= 1e6) {
		return fmt.Errorf("name is %q and share %v, should both be there", r.Name, r.Share)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Latency)) {
		if err := r.Latency[name].check(0); err != nil {
			return fmt.Errorf("latency.%s: %w", name, err)
		}
	}
	return nil
}

func (a Attribute) check() error {
	set := 0
	var err error
	if a.Number != nil {
		set++
		err = a.Number.check(0)
	}
	if a.Choice != nil {
		set++
		err = shares(a.Choice)
	}
	if a.List != nil {
		set++
		if err = shares(a.List.Of); err == nil {
			_, err = counts(a.List.Count, len(a.List.Of))
		}
	}
	if a.Map != nil {
		set++
		if len(a.Map) > 10 {
			err = fmt.Errorf("%d keys, should be at most 10", len(a.Map))
		}
		for _, key := range slices.Sorted(maps.Keys(a.Map)) {
			if e := a.Map[key].check(0); e != nil && err == nil {
				err = fmt.Errorf("map.%s: %w", key, e)
			}
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("%d of number, choice, list and map, should be one", set)
	case !(a.Together >= 0 && a.Together <= 1):
		return fmt.Errorf("together is %v, should be from 0 to 1", a.Together)
	}
	return err
}

func (d Distribution) check(depth int) error {
	const most = 1e12
	for name, v := range map[string]*float64{"mean": &d.Mean, "low": d.Low, "high": d.High, "least": d.Least, "most": d.Most} {
		if v != nil && math.Abs(*v) > most {
			return fmt.Errorf("%s is out of range", name)
		}
	}
	switch {
	case !(d.Deviation >= 0 && d.Deviation <= most):
		return fmt.Errorf("deviation is %v, should be at least 0", d.Deviation)
	case (d.Low == nil) != (d.High == nil) || (d.Low != nil && *d.Low > *d.High):
		return errors.New("low and high should both be there, low first")
	case d.Least != nil && d.Most != nil && *d.Least > *d.Most:
		return errors.New("least is above most")
	case len(d.Mixture) > 0 && (d.Low != nil || d.Mean != 0 || d.Deviation != 0):
		return errors.New("a mixture has no mean, deviation, low or high of its own")
	case depth > 3 || len(d.Mixture) > 100:
		return errors.New("too many mixtures")
	}
	for i, part := range d.Mixture {
		if !(part.Share > 0 && part.Share <= 1e6) {
			return fmt.Errorf("mixture[%d]: share is %v, should be above 0", i, part.Share)
		}
		if err := part.check(depth + 1); err != nil {
			return fmt.Errorf("mixture[%d]: %w", i, err)
		}
	}
	return nil
}

func shares(of map[string]float64) error {
	if len(of) == 0 || len(of) > 100 {
		return fmt.Errorf("%d values, should be from 1 to 100", len(of))
	}
	total := 0.0
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if v := of[name]; name == "" || len(name) > 100 || !(v >= 0 && v <= 1e6) {
			return fmt.Errorf("%q: %v is no share", name, v)
		}
		total += of[name]
	}
	if total <= 0 {
		return errors.New("no share is above 0")
	}
	return nil
}

// counts reads shares of whole numbers from 1 to most; of nothing it is always 1.
func counts(of map[string]float64, most int) (map[int]float64, error) {
	if len(of) == 0 {
		return map[int]float64{1: 1}, nil
	}
	if err := shares(of); err != nil {
		return nil, err
	}
	out := map[int]float64{}
	for key, share := range of {
		n, err := strconv.Atoi(key)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%q should be a number from 1 to %d", key, most)
		}
		out[n] += share
	}
	return out, nil
}
