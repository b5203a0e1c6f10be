package sim

import (
	"context"
	"fmt"
	"io"
	"math"
)

// Compared is the engine against the greedy matcher on one stream, over several seeds.
type Compared struct {
	Stream  string
	Seeds   int
	Tickets int // of all seeds
	Lines   []Difference
}

// Difference is one figure of both, means over the seeds.
type Difference struct {
	Label          string
	Unit           string
	Engine, Greedy float64
	// Change is the engine's against the greedy matcher's in percent, and Error the standard
	// error of that over the seeds. The streams are the same for both, so it is of pairs.
	Change, Error float64
}

// Duel plays a stream with seeds 1 to n through both matchers. hours, when it is not
// zero, replaces the profile's.
func Duel(ctx context.Context, rules *Rules, profile *Profile, n int, hours float64, progress func(done float64)) (*Compared, error) {
	out := &Compared{Stream: profile.Name, Seeds: n}
	var pairs [][]Figure
	for seed := range n {
		stream, err := profile.Generate(uint64(seed+1), hours)
		if err != nil {
			return nil, err
		}
		out.Tickets += len(stream.Tickets)
		var results []*Result
		for i, greedy := range []bool{true, false} {
			r, err := Play(ctx, Options{Rules: rules, Stream: stream, Greedy: greedy, Explain: -1, Progress: func(done float64) {
				if progress != nil {
					progress((float64(2*seed+i) + done) / float64(2*n))
				}
			}})
			if err != nil {
				return nil, err
			}
			results = append(results, r)
		}
		pairs = append(pairs, dueling(NewReport("", uint64(seed+1), results...)))
	}
	for i, f := range pairs[0] {
		d := Difference{Label: f.Label, Unit: f.Unit}
		var changes []float64
		for _, figures := range pairs {
			greedy, engine := figures[i].Values[0], figures[i].Values[1]
			d.Greedy += greedy / float64(n)
			d.Engine += engine / float64(n)
			changes = append(changes, engine-greedy)
		}
		mean, squares := 0.0, 0.0
		for _, c := range changes {
			mean += c / float64(n)
		}
		for _, c := range changes {
			squares += (c - mean) * (c - mean)
		}
		if d.Greedy != 0 {
			d.Change = 100 * mean / d.Greedy
			if n > 1 {
				d.Error = 100 * math.Sqrt(squares/float64(n-1)/float64(n)) / d.Greedy
			}
		}
		out.Lines = append(out.Lines, d)
	}
	return out, nil
}

// dueling are the figures the two are held against.
func dueling(r *Report) (out []Figure) {
	add := func(label, unit string, of func(*Run) float64) {
		f := Figure{Label: label, Unit: unit}
		some := false
		for i := range r.Runs {
			v := of(&r.Runs[i])
			f.Values = append(f.Values, v)
			some = some || v != 0
		}
		if some {
			out = append(out, f)
		}
	}
	add("matched", "%", func(r *Run) float64 { return 100 * float64(r.Outcomes[Matched]) / float64(max(1, r.Tickets)) })
	add("mean wait", "s", func(r *Run) float64 { return r.Wait.Mean })
	add("p95 wait", "s", func(r *Run) float64 { return r.Wait.P95 })
	add("mean time in queue, all", "s", func(r *Run) float64 { return r.InQueue.Mean })
	add("mean skill spread", "", func(r *Run) float64 { return r.SkillSpread.Mean })
	add("mean team difference", "", func(r *Run) float64 { return r.TeamBalance.Mean })
	add("mean latency", "ms", func(r *Run) float64 { return r.Latency.Mean })
	add("mean players", "", func(r *Run) float64 { return r.Size.Mean })
	return out
}

// WriteMarkdown writes the comparison as rows of a table; Header comes before the first.
func (c *Compared) WriteMarkdown(w io.Writer) error {
	for i, d := range c.Lines {
		name := ""
		if i == 0 {
			name = fmt.Sprintf("%s (%s tickets)", c.Stream, group(float64(c.Tickets)))
		}
		unit := d.Unit
		if unit != "" {
			unit = " " + unit
		}
		if _, err := fmt.Fprintf(w, "| %s | %s | %s%s | %s%s | %+.1f %% ± %.1f |\n", name, d.Label, show(round(d.Engine)), unit, show(round(d.Greedy)), unit, d.Change, d.Error); err != nil {
			return err
		}
	}
	return nil
}

// MarkdownHeader is the head of the table WriteMarkdown writes rows of.
const MarkdownHeader = "| Stream | Figure | Engine | Greedy | Change |\n|---|---|---|---|---|\n"
