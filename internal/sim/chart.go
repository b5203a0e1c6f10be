package sim

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a plot with axes: everything in it is text the page may contain.
type chart struct {
	Title   string // for those who do not see it
	XLabel  string
	YLabel  string
	Series  []line
	Bars    []Bars // instead of lines
	XTime   bool   // the axis counts hours and minutes
	Percent bool   // the values are shares
	Whole   bool   // x counts things
	Wide    bool
	UpTo    float64 // where the axis ends at least; with lines it begins at 0
}

// line is a curve; where a point is missing (NaN) it has a gap.
type line struct {
	Name   string
	Class  string
	Points []Point
}

// Bars are the columns of a histogram.
type Bars struct {
	Name  string
	Class string
	Bins  []Bin
}

// The measures of a chart, in its own units.
const (
	chartHeight = 260.0
	leftMargin  = 58.0
	rightMargin = 14.0
	topMargin   = 12.0
	footMargin  = 44.0
)

type frame struct {
	out                    strings.Builder
	width, x0, x1, y0, top float64
	fromX, toX             float64
}

func (f *frame) x(v float64) float64 {
	if f.toX == f.fromX {
		return f.x0
	}
	return f.x0 + (f.x1-f.x0)*(v-f.fromX)/(f.toX-f.fromX)
}

func (f *frame) y(v float64) float64 { return f.y0 - (f.y0-topMargin)*v/f.top }

func (f *frame) add(format string, args ...any) { fmt.Fprintf(&f.out, format, args...) }

// SVG draws the chart.
func (c chart) SVG() markup {
	f := &frame{width: 520, x0: leftMargin, y0: chartHeight - footMargin}
	if c.Wide {
		f.width = 1060
	}
	f.x1 = f.width - rightMargin
	top := c.extent(f)
	step := niceStep(top, 5)
	f.top = math.Max(step, math.Ceil(top/step-1e-9)*step)
	f.add(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, f.width, chartHeight, html.EscapeString(c.Title))
	for v := 0.0; v <= f.top+step/2; v += step {
		f.add(`<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, f.x0, f.x1, f.y(v), f.y(v))
		label := show(round(v))
		if c.Percent {
			label = show(round(100*v)) + " %"
		}
		f.add(`<text class="tick" x="%.1f" y="%.1f" text-anchor="end">%s</text>`, f.x0-6, f.y(v)+4, label)
	}
	c.xAxis(f)
	c.bars(f)
	for _, s := range c.Series {
		c.curve(f, s)
	}
	c.hover(f)
	f.add(`<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, f.x0, f.x1, f.y0, f.y0)
	f.add(`<text class="label" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (f.x0+f.x1)/2, chartHeight-6, html.EscapeString(c.XLabel))
	f.add(`<text class="label" transform="translate(13 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, (topMargin+f.y0)/2, html.EscapeString(c.YLabel))
	f.add(`</svg>`)
	return markup(f.out.String()) // all text in it was escaped above
}

// extent sets the range of x and gives the highest y.
func (c chart) extent(f *frame) (top float64) {
	f.fromX, f.toX = math.Inf(1), math.Inf(-1)
	if len(c.Series) > 0 {
		f.fromX, f.toX = 0, c.UpTo
	}
	see := func(x, y float64) {
		f.fromX, f.toX = math.Min(f.fromX, x), math.Max(f.toX, x)
		if !math.IsNaN(y) {
			top = math.Max(top, y)
		}
	}
	for _, s := range c.Series {
		for _, p := range s.Points {
			see(p.X, p.Y)
		}
	}
	for _, b := range c.Bars {
		for _, bin := range b.Bins {
			see(bin.From, c.tall(b, bin))
			see(bin.To, 0)
		}
	}
	if math.IsInf(f.fromX, 0) {
		f.fromX, f.toX = 0, 1
	}
	if top == 0 {
		top = 1
	}
	return top
}

// tall is a column's height: the share of all values.
func (c chart) tall(b Bars, bin Bin) float64 {
	n := 0
	for _, other := range b.Bins {
		n += other.Count
	}
	return float64(bin.Count) / math.Max(1, float64(n))
}

func (c chart) xAxis(f *frame) {
	n := 6
	if c.Wide {
		n = 12
	}
	step := niceStep(f.toX-f.fromX, n)
	if c.XTime {
		step = timeStep(f.toX-f.fromX, n)
	}
	if c.Whole {
		step = math.Max(1, step)
	}
	for v := math.Ceil(f.fromX/step) * step; v <= f.toX+step*1e-6; v += step {
		label := show(round(v))
		if c.XTime {
			label = fmt.Sprintf("%d:%02d", int(v)/3600, int(v)/60%60)
			if step < 60 {
				label = fmt.Sprintf("%d:%02d", int(v)/60, int(v)%60)
			}
		}
		x := f.x(v)
		if c.Whole { // under the middle of the column
			if v >= f.toX {
				return
			}
			x = f.x(v + 0.5)
		}
		f.add(`<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x, x, f.y0, f.y0+4)
		anchor := "middle"
		if x > f.width-22 { // it would be cut off
			x, anchor = f.width-2, "end"
		}
		f.add(`<text class="tick" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, f.y0+17, anchor, label)
	}
}

func timeStep(whole float64, n int) float64 {
	for _, s := range []float64{1, 5, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400} {
		if whole/s <= float64(n) {
			return s
		}
	}
	return 7 * 86400
}

func (c chart) bars(f *frame) {
	for i, b := range c.Bars {
		for _, bin := range b.Bins {
			x, w := f.x(bin.From), f.x(bin.To)-f.x(bin.From)
			part := w / float64(len(c.Bars))
			x += part * float64(i)
			y := f.y(c.tall(b, bin))
			f.add(`<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, b.Class, x+0.5, y, math.Max(0.5, part-1), f.y0-y)
		}
	}
}

func (c chart) curve(f *frame, s line) {
	var path strings.Builder
	pen := "M"
	for i, p := range s.Points {
		if math.IsNaN(p.Y) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, f.x(p.X), f.y(p.Y))
		pen = "L"
		alone := (i == 0 || math.IsNaN(s.Points[i-1].Y)) && (i == len(s.Points)-1 || math.IsNaN(s.Points[i+1].Y))
		if alone {
			f.add(`<circle class="dot %s" cx="%.1f" cy="%.1f" r="2"/>`, s.Class, f.x(p.X), f.y(p.Y))
		}
	}
	f.add(`<path class="curve %s" d="%s"/>`, s.Class, path.String())
}

// hover says the values under the pointer.
func (c chart) hover(f *frame) {
	strip := func(x, w float64, words string) {
		f.add(`<rect class="strip" x="%.1f" y="%g" width="%.1f" height="%.1f"><title>%s</title></rect>`, x, topMargin, w, f.y0-topMargin, html.EscapeString(words))
	}
	value := func(v float64) string {
		switch {
		case math.IsNaN(v):
			return "none"
		case c.Percent:
			return show(round(100*v)) + " %"
		}
		return show(v)
	}
	if len(c.Bars) > 0 {
		for i, bin := range c.Bars[0].Bins {
			words := []string{between(bin, c.Whole)}
			for _, b := range c.Bars {
				words = append(words, fmt.Sprintf("%s: %s %%", b.Name, show(round(100*c.tall(b, b.Bins[i])))))
			}
			strip(f.x(bin.From), f.x(bin.To)-f.x(bin.From), strings.Join(words, "\n"))
		}
		return
	}
	if len(c.Series) == 0 {
		return
	}
	points := c.Series[0].Points
	for i, p := range points {
		words := []string{show(p.X)}
		if c.XTime {
			words[0] = fmt.Sprintf("%d:%02d:%02d", int(p.X)/3600, int(p.X)/60%60, int(p.X)%60)
		}
		for _, s := range c.Series {
			words = append(words, fmt.Sprintf("%s: %s", s.Name, value(s.Points[i].Y)))
		}
		w := (f.x1 - f.x0) / float64(len(points))
		strip(math.Max(f.x0, f.x(p.X)-w/2), w, strings.Join(words, "\n"))
	}
}

// between names a column.
func between(bin Bin, whole bool) string {
	if whole && bin.To == bin.From+1 {
		return show(bin.From)
	}
	return fmt.Sprintf("%s to %s", show(bin.From), show(bin.To))
}

// ranges draws one row a group: a dot at the median, a line to the 95th percentile.
type ranges struct {
	Title string
	Label string
	Names []string // of the runs
	Rows  []rangeRow
}

type rangeRow struct {
	Label string
	Runs  []Spread
}

// SVG draws the rows.
func (r ranges) SVG() markup {
	lane := 15.0
	rowHeight := 12 + lane*float64(max(1, len(r.Names)))
	height := topMargin + rowHeight*float64(len(r.Rows)) + footMargin
	f := &frame{width: 520, x0: 150, x1: 520 - rightMargin, y0: height - footMargin}
	top := 0.0
	for _, row := range r.Rows {
		for _, s := range row.Runs {
			top = math.Max(top, s.P95)
		}
	}
	if top == 0 {
		top = 1
	}
	step := niceStep(top, 6)
	f.fromX, f.toX = 0, math.Ceil(top/step-1e-9)*step
	f.add(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, f.width, height, html.EscapeString(r.Title))
	for v := 0.0; v <= f.toX+step/2; v += step {
		f.add(`<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%.1f"/>`, f.x(v), f.x(v), topMargin, f.y0)
		f.add(`<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, f.x(v), f.y0+17, show(round(v)))
	}
	for i, row := range r.Rows {
		y := topMargin + rowHeight*float64(i)
		f.add(`<text class="row" x="%.1f" y="%.1f" text-anchor="end">%s</text>`, f.x0-10, y+rowHeight/2+4, html.EscapeString(cut(row.Label, 21)))
		for k, s := range row.Runs {
			at := y + 6 + lane*(float64(k)+0.5)
			if s.Count == 0 {
				f.add(`<text class="tick" x="%.1f" y="%.1f">none matched</text>`, f.x0+4, at+4)
				continue
			}
			class := fmt.Sprintf("run%d", k+1)
			f.add(`<g><title>%s: %s</title><line class="reach %s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><line class="reach %s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><circle class="dot %s" cx="%.1f" cy="%.1f" r="4.5"/></g>`,
				html.EscapeString(row.Label), html.EscapeString(fmt.Sprintf("median %s, 95th percentile %s", show(s.P50), show(s.P95))),
				class, f.x(s.P50), f.x(s.P95), at, at, class, f.x(s.P95), f.x(s.P95), at-4, at+4, class, f.x(s.P50), at)
		}
	}
	f.add(`<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, f.x0, f.x1, f.y0, f.y0)
	f.add(`<text class="label" x="%.1f" y="%.1f" text-anchor="middle">%s</text></svg>`, (f.x0+f.x1)/2, height-6, html.EscapeString(r.Label))
	return markup(f.out.String()) // all text in it was escaped above
}
