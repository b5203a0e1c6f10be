package sim

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"strings"
)

//go:embed page.css
var pageStyle string

// HTML writes the report as one page that needs nothing else: no network, no script.
func (r *Report) HTML(w io.Writer) error {
	var s sheet
	pageView{r}.write(&s)
	_, err := io.WriteString(w, s.out.String())
	return err
}

// pageView is the report with its plots.
type pageView struct{ *Report }

// Plot is a figure of the page: the plot, and the table behind it.
type Plot struct {
	Title, Note string
	SVG         markup
	Legend      []Key
	Head        []string
	Rows        [][]string
	Wide        bool
}

// Key is an entry of a legend.
type Key struct{ Name, Class string }

func (v pageView) Compared() bool { return len(v.Runs) > 1 }

// Lead is the result in two sentences a run.
func (v pageView) Lead() (out []string) {
	for i := range v.Runs {
		run := &v.Runs[i]
		s := fmt.Sprintf("%s: %s of %s tickets were matched, half of these within %s s and 95 %% within %s s.", run.Name,
			show(round(100*float64(run.Outcomes[Matched])/float64(max(1, run.Tickets))))+" %", group(float64(run.Tickets)), show(run.Wait.P50), show(run.Wait.P95))
		gone := run.Outcomes[TimedOut] + run.Outcomes[Left]
		if len(run.Failures.Reasons) > 0 && gone > 0 {
			f := run.Failures.Reasons[0]
			s += fmt.Sprintf(" %s tickets timed out or left; the most frequent reason (%s %% of those asked): %s.",
				group(float64(gone)), show(round(100*float64(f.Count)/float64(max(1, run.Failures.Explained)))), cut(f.Reason, 120))
		}
		out = append(out, s)
	}
	return out
}

// WaitPlot is the waits over time.
func (v pageView) WaitPlot() Plot {
	c := chart{Title: "Wait over time", XLabel: "time when matched, hours:minutes", YLabel: "wait, s", XTime: true, Wide: true, UpTo: v.Stream.Seconds}
	p := Plot{Title: "Wait over time", Note: "Of the tickets matched in each stretch of time.", Wide: true, Head: []string{"From"}}
	percentiles := []struct {
		name, style string
		of          func(Spread) float64
	}{
		{"median", "solid", func(s Spread) float64 { return s.P50 }},
		{"90 %", "dashed", func(s Spread) float64 { return s.P90 }},
		{"99 %", "dotted", func(s Spread) float64 { return s.P99 }},
	}
	if v.Compared() {
		percentiles = percentiles[:2]
	}
	for i := range v.Runs {
		for _, pc := range percentiles {
			name := pc.name
			if v.Compared() {
				name = v.Runs[i].Name + ", " + pc.name
			}
			l := line{Name: name, Class: fmt.Sprintf("run%d %s", i+1, pc.style)}
			for _, s := range v.Runs[i].OverTime {
				y := math.NaN()
				if s.Wait.Count > 0 {
					y = pc.of(s.Wait)
				}
				l.Points = append(l.Points, Point{s.From + v.SlotSeconds/2, y})
			}
			c.Series = append(c.Series, l)
		}
	}
	return v.withSeries(p, c)
}

// withSeries fills in the legend and the table of a chart over time.
func (v pageView) withSeries(p Plot, c chart) Plot {
	for _, l := range c.Series {
		if len(c.Series) > 1 {
			p.Legend = append(p.Legend, Key{l.Name, l.Class})
		}
		p.Head = append(p.Head, l.Name)
	}
	for i := range c.Series[0].Points {
		row := []string{v.clock(v.Runs[0].OverTime[i].From)}
		for _, l := range c.Series {
			if math.IsNaN(l.Points[i].Y) {
				row = append(row, "–")
			} else {
				row = append(row, show(l.Points[i].Y))
			}
		}
		p.Rows = append(p.Rows, row)
	}
	p.SVG = c.SVG()
	return p
}

func (v pageView) clock(seconds float64) string {
	n := int(seconds)
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// overTime is a chart of something in each stretch of time.
func (v pageView) overTime(title, note, label string, of func(Slot) float64) Plot {
	c := chart{Title: title, XLabel: "time, hours:minutes", YLabel: label, XTime: true, UpTo: v.Stream.Seconds}
	for i := range v.Runs {
		l := line{Name: v.Runs[i].Name, Class: fmt.Sprintf("run%d solid", i+1)}
		for _, s := range v.Runs[i].OverTime {
			l.Points = append(l.Points, Point{s.From + v.SlotSeconds/2, of(s)})
		}
		c.Series = append(c.Series, l)
	}
	return v.withSeries(Plot{Title: title, Note: note, Head: []string{"From"}}, c)
}

// WaitingPlot is the tickets in the pool over time.
func (v pageView) WaitingPlot() Plot {
	return v.overTime("Tickets waiting", "Mean number in the pool after a run of the matcher.", "tickets", func(s Slot) float64 { return s.Waiting })
}

// FlowPlot is who came and went; of the first run only, as arrivals are the same.
func (v pageView) FlowPlot() Plot {
	c := chart{Title: "Tickets per minute", XLabel: "time, hours:minutes", YLabel: "tickets a minute", XTime: true, UpTo: v.Stream.Seconds}
	p := Plot{Title: "Tickets per minute", Note: "Arriving, matched, and gone without a match (timed out or left).", Head: []string{"From"}}
	if v.Compared() {
		p.Note = "Arriving, and gone without a match (timed out or left)."
	}
	per := func(n int) float64 { return round(float64(n) * 60 / v.SlotSeconds) }
	add := func(name, class string, run int, of func(Slot) int) {
		l := line{Name: name, Class: class}
		for _, s := range v.Runs[run].OverTime {
			l.Points = append(l.Points, Point{s.From + v.SlotSeconds/2, per(of(s))})
		}
		c.Series = append(c.Series, l)
	}
	add("arriving", "plain solid", 0, func(s Slot) int { return s.Arrived })
	if !v.Compared() {
		add("matched", "run1 solid", 0, func(s Slot) int { return s.Matched })
		add("gone without a match", "run2 dashed", 0, func(s Slot) int { return s.GaveUp })
		return v.withSeries(p, c)
	}
	for i := range v.Runs {
		add(v.Runs[i].Name+", gone", fmt.Sprintf("run%d solid", i+1), i, func(s Slot) int { return s.GaveUp })
	}
	return v.withSeries(p, c)
}

// WithinPlot is the share of all tickets matched within so many seconds.
func (v pageView) WithinPlot() Plot {
	c := chart{Title: "Matched within", XLabel: "seconds in the queue", YLabel: "of all tickets", Percent: true}
	p := Plot{Title: "Matched within", Note: "Of all tickets, those that ended without a match included: the higher and further left, the better.", Head: []string{"Seconds"}}
	for i := range v.Runs {
		c.Series = append(c.Series, line{v.Runs[i].Name, fmt.Sprintf("run%d solid", i+1), v.Runs[i].Within})
		if v.Compared() {
			p.Legend = append(p.Legend, Key{v.Runs[i].Name, fmt.Sprintf("run%d solid", i+1)})
		}
		p.Head = append(p.Head, v.Runs[i].Name)
	}
	for i, at := range v.Runs[0].Within {
		row := []string{show(at.X)}
		for _, l := range c.Series {
			row = append(row, show(round(100*l.Points[i].Y))+" %")
		}
		p.Rows = append(p.Rows, row)
	}
	p.SVG = c.SVG()
	return p
}

// SkillOverTime is the quality of the matches as the day goes.
func (v pageView) SkillOverTime() Plot {
	return v.overTime("Spread of "+v.Skill+" over time", "Between the best and the worst player of a match; mean of each stretch.", v.Skill,
		func(s Slot) float64 {
			if s.Matches == 0 {
				return math.NaN()
			}
			return s.Skill
		})
}

// Histograms are the qualities of the matches, those that this stream has.
func (v pageView) Histograms() (out []Plot) {
	for _, h := range []struct {
		title, note, label string
		of                 func(*Run) ([]Bin, Spread)
	}{
		{"Spread of " + v.Skill + " in a match", "Between the best and the worst player.", v.Skill, func(r *Run) ([]Bin, Spread) { return r.SkillBins, r.SkillSpread }},
		{"Team balance", "Between the highest and the lowest mean " + v.Skill + " of the teams.", v.Skill, func(r *Run) ([]Bin, Spread) { return r.BalanceBins, r.TeamBalance }},
		{"Latency", "Mean of a match in the location that suits all its players best.", "ms", func(r *Run) ([]Bin, Spread) { return r.LatencyBins, r.Latency }},
		{"Match size", "Players in a match.", "players", func(r *Run) ([]Bin, Spread) { return r.SizeBins, r.Size }},
	} {
		c := chart{Title: h.title, XLabel: h.label, YLabel: "of matches", Percent: true, Whole: h.label == "players"}
		p := Plot{Title: h.title, Note: h.note, Head: []string{h.label}}
		for i := range v.Runs {
			bins, spread := h.of(&v.Runs[i])
			if spread.Count == 0 || len(bins) == 0 {
				continue
			}
			class := fmt.Sprintf("run%d", i+1)
			c.Bars = append(c.Bars, Bars{v.Runs[i].Name, class, bins})
			key := fmt.Sprintf("mean %s, 95 %% at most %s", show(spread.Mean), show(spread.P95))
			if v.Compared() {
				key = v.Runs[i].Name + ": " + key
			}
			p.Legend = append(p.Legend, Key{key, class + " block"})
			p.Head = append(p.Head, v.Runs[i].Name)
		}
		if len(c.Bars) == 0 || (c.Whole && len(c.Bars[0].Bins) < 2) {
			continue
		}
		for i, bin := range c.Bars[0].Bins {
			row := []string{between(bin, c.Whole)}
			for _, b := range c.Bars {
				row = append(row, group(float64(b.Bins[i].Count)))
			}
			p.Rows = append(p.Rows, row)
		}
		p.SVG = c.SVG()
		out = append(out, p)
	}
	return out
}

// GroupPlots are the waits of different kinds of tickets.
func (v pageView) GroupPlots() (out []Plot) {
	for g, grouping := range v.Runs[0].Groups {
		p := Plot{Title: grouping.By, Note: "Wait: the dot is the median, the line reaches to the 95th percentile.", Head: []string{"", "Tickets"}}
		r := ranges{Title: "Wait by " + grouping.By, Label: "wait, s"}
		for i := range v.Runs {
			prefix := ""
			if v.Compared() {
				prefix = v.Runs[i].Name + ": "
				p.Legend = append(p.Legend, Key{v.Runs[i].Name, fmt.Sprintf("run%d block", i+1)})
			}
			r.Names = append(r.Names, v.Runs[i].Name)
			p.Head = append(p.Head, prefix+"matched", prefix+"median wait, s", prefix+"95 %, s", prefix+"spread of "+v.Skill)
		}
		for k, row := range grouping.Rows {
			cells := []string{row.Label, group(float64(row.Tickets))}
			rr := rangeRow{Label: row.Label}
			for i := range v.Runs {
				o := v.Runs[i].Groups[g].Rows[k]
				rr.Runs = append(rr.Runs, o.Wait)
				cells = append(cells, show(round(100*float64(o.Matched)/float64(max(1, o.Tickets))))+" %", show(o.Wait.P50), show(o.Wait.P95), show(o.Skill))
			}
			r.Rows = append(r.Rows, rr)
			p.Rows = append(p.Rows, cells)
		}
		p.SVG = r.SVG()
		out = append(out, p)
	}
	return out
}

// Parts are the outcomes of a run that there are.
func (r Run) Parts() (out []Part) {
	for _, o := range Outcomes {
		if n := r.Outcomes[o]; n > 0 {
			out = append(out, Part{string(o), "o-" + strings.ReplaceAll(string(o), " ", "-"), n})
		}
	}
	return out
}

// Part is a part of the tickets.
type Part struct {
	Name, Class string
	Count       int
}
