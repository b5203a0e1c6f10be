package sim

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// Figure is one line of the summary: a number of each run.
type Figure struct {
	Label  string
	Unit   string
	Values []float64
	// Lower and Higher say which is better; neither, when that depends.
	Lower, Higher bool
}

// Figures are the summary, without those that have no meaning for this stream.
func (r *Report) Figures() []Figure {
	share := func(of ...Outcome) func(*Run) (float64, bool) {
		return func(run *Run) (float64, bool) {
			n := 0
			for _, o := range of {
				n += run.Outcomes[o]
			}
			return 100 * float64(n) / float64(max(1, run.Tickets)), of[0] == Matched || n > 0
		}
	}
	of := func(spread func(*Run) Spread, figure func(Spread) float64) func(*Run) (float64, bool) {
		return func(run *Run) (float64, bool) {
			s := spread(run)
			return figure(s), s.Count > 0
		}
	}
	wait := func(r *Run) Spread { return r.Wait }
	skill := func(r *Run) Spread { return r.SkillSpread }
	mean := func(s Spread) float64 { return s.Mean }
	p95 := func(s Spread) float64 { return s.P95 }
	all := []struct {
		Figure
		get func(*Run) (float64, bool)
	}{
		{Figure{Label: "Tickets matched", Unit: "%", Higher: true}, share(Matched)},
		{Figure{Label: "timed out", Unit: "%", Lower: true}, share(TimedOut)},
		{Figure{Label: "left the queue", Unit: "%", Lower: true}, share(Left)},
		{Figure{Label: "declined a match, or did not answer", Unit: "%"}, share(Declined, Silent)},
		{Figure{Label: "replaced by a newer request", Unit: "%"}, share(Replaced)},
		{Figure{Label: "waiting at the end", Unit: "%"}, share(Waiting)},
		{Figure{Label: "Wait of the matched, mean", Unit: "s", Lower: true}, of(wait, mean)},
		{Figure{Label: "median", Unit: "s", Lower: true}, of(wait, func(s Spread) float64 { return s.P50 })},
		{Figure{Label: "95th percentile", Unit: "s", Lower: true}, of(wait, p95)},
		{Figure{Label: "99th percentile", Unit: "s", Lower: true}, of(wait, func(s Spread) float64 { return s.P99 })},
		{Figure{Label: "Time in the queue of all, mean", Unit: "s", Lower: true}, of(func(r *Run) Spread { return r.InQueue }, mean)},
		{Figure{Label: "Matches", Higher: true}, func(r *Run) (float64, bool) { return float64(r.Matches), true }},
		{Figure{Label: "proposals dropped", Lower: true}, func(r *Run) (float64, bool) { return float64(r.Dropped), r.Dropped > 0 }},
		{Figure{Label: "players in a match, mean", Higher: true}, of(func(r *Run) Spread { return r.Size }, mean)},
		{Figure{Label: "Spread of " + r.Skill + " in a match, mean", Lower: true}, of(skill, mean)},
		{Figure{Label: "95th percentile", Lower: true}, of(skill, p95)},
		{Figure{Label: "Difference of the teams' means, mean", Lower: true}, of(func(r *Run) Spread { return r.TeamBalance }, mean)},
		{Figure{Label: "Latency in the best common location, mean", Unit: "ms", Lower: true}, of(func(r *Run) Spread { return r.Latency }, mean)},
		{Figure{Label: "worst player's, mean", Unit: "ms", Lower: true}, of(func(r *Run) Spread { return r.WorstLatency }, mean)},
	}
	var out []Figure
	for _, line := range all {
		some := false
		f := line.Figure
		for i := range r.Runs {
			v, ok := line.get(&r.Runs[i])
			some = some || ok
			f.Values = append(f.Values, round(v))
		}
		if some {
			out = append(out, f)
		}
	}
	return out
}

// Change is the last run against the first: of shares in percentage points, of all else in
// percent of the first. Empty when there is nothing to compare.
func (f Figure) Change() string {
	if len(f.Values) < 2 || (f.Unit != "%" && f.Values[0] == 0) {
		return ""
	}
	unit := "%"
	if f.Unit == "%" {
		unit = "pt"
	}
	c := math.Round(f.change()*10) / 10
	if c == 0 {
		return "0 " + unit
	}
	return fmt.Sprintf("%+.1f %s", c, unit)
}

func (f Figure) change() float64 {
	first, last := f.Values[0], f.Values[len(f.Values)-1]
	if f.Unit == "%" {
		return last - first
	}
	return 100 * (last - first) / math.Abs(first)
}

// Verdict is better or worse, or nothing where the difference is small (a percent, or a
// quarter of a percentage point) or neither.
func (f Figure) Verdict() string {
	least := 1.0
	if f.Unit == "%" {
		least = 0.25
	}
	if f.Change() == "" || math.Abs(f.change()) < least || (!f.Lower && !f.Higher) {
		return ""
	}
	if (f.change() < 0) == f.Lower {
		return "better"
	}
	return "worse"
}

// WriteText writes the summary for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%s: %s tickets, %s players, %s, seed %d\n\n", r.Stream.Name, group(float64(r.Stream.Tickets)),
		group(float64(r.Stream.Players)), hours(r.Stream.Seconds), r.Stream.Seed)
	if len(r.Runs) > 1 {
		for i := range r.Runs {
			_, _ = fmt.Fprintf(t, "\t%s", r.Runs[i].Name)
		}
		_, _ = fmt.Fprint(t, "\tchange\n")
	}
	for _, f := range r.Figures() {
		label := f.Label
		if strings.ToLower(label[:1]) == label[:1] || label[0] == '9' {
			label = "  " + label
		}
		_, _ = fmt.Fprint(t, label)
		for _, v := range f.Values {
			_, _ = fmt.Fprintf(t, "\t%s", strings.TrimSpace(show(v)+" "+f.Unit))
		}
		if c := f.Change(); c != "" {
			_, _ = fmt.Fprintf(t, "\t%s\t%s", c, f.Verdict())
		}
		_, _ = fmt.Fprintln(t)
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Failures.Explained == 0 {
			continue
		}
		_, _ = fmt.Fprintf(t, "\nWhy no match (%s; %d of %d tickets asked)\n", run.Name, run.Failures.Explained, run.Failures.Unmatched)
		for _, f := range run.Failures.Reasons[:min(6, len(run.Failures.Reasons))] {
			_, _ = fmt.Fprintf(t, "  %s\t%s %%", f.Reason, show(100*float64(f.Count)/float64(run.Failures.Explained)))
			if f.Target != "" {
				_, _ = fmt.Fprintf(t, "\thalf of them needed %s %s", f.Target, show(f.Needed))
			}
			_, _ = fmt.Fprintln(t)
		}
	}
	return t.Flush()
}

// show is a number in about three digits.
func show(v float64) string {
	digits := 0
	switch a := math.Abs(v); {
	case a == math.Trunc(a):
	case a < 1:
		digits = 3
	case a < 10:
		digits = 2
	case a < 100:
		digits = 1
	}
	if digits == 0 {
		return group(v)
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', digits, 64), "0"), ".")
}

// group is a whole number with commas.
func group(v float64) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if v < 0 && s != "0" {
		return "-" + s
	}
	return s
}

func hours(seconds float64) string {
	switch {
	case seconds >= 3600:
		return show(seconds/3600) + " h"
	case seconds >= 60:
		return show(seconds/60) + " min"
	}
	return show(seconds) + " s"
}

// describe is an explanation in a sentence, with times as in the stream and long lists cut.
func describe(e flexmatch.Explanation, start float64) string {
	with := "alone"
	switch n := len(e.Candidate) - 1; {
	case n == 1:
		with = "with " + e.Candidate[1]
	case n > 1:
		with = fmt.Sprintf("with %s and %d more", e.Candidate[1], n-1)
	}
	var out strings.Builder
	switch {
	case e.Never != "":
		return e.TicketID + ": " + e.Never
	case e.Matchable:
		return fmt.Sprintf("%s could match %s", e.TicketID, with)
	case e.Rule != "":
		fmt.Fprintf(&out, "%s %s fails %s (%s)", e.TicketID, with, e.Rule, e.Measure)
	default:
		fmt.Fprintf(&out, "%s: too few players (%s)", e.TicketID, e.Measure)
	}
	if len(e.Also) > 0 {
		fmt.Fprintf(&out, " and %s", strings.Join(e.Also, ", "))
	}
	if e.Next != nil {
		fmt.Fprintf(&out, "; after %s s it would match, if nobody came or left", show(math.Round(float64(e.Next.At.UnixMilli())/1000-start)))
	}
	return cut(out.String(), 240)
}

// cut shortens a text.
func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
