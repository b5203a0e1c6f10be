package sim

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// sheet is a page being written. It takes the place of html/template, which looks up methods
// by name and so keeps the linker from leaving any method of the program out.
type sheet struct{ out strings.Builder }

// markup is text that is HTML already.
type markup string

// add writes a format of HTML, whose verbs are %s. Its values are text: they are escaped,
// also for the inside of quoted attributes. Only markup is taken as it is.
func (s *sheet) add(format string, values ...any) {
	for i, v := range values {
		if _, ok := v.(markup); !ok {
			values[i] = html.EscapeString(fmt.Sprint(v))
		}
	}
	fmt.Fprintf(&s.out, format, values...)
}

// count, share and width are numbers as the page has them.
func count(n int) string { return group(float64(n)) }

func share(n, of int) string { return show(round(100*float64(n)/float64(max(1, of)))) + " %" }

func width(n, of int) string {
	return fmt.Sprintf("width:%.2f%%", 100*float64(n)/float64(max(1, of)))
}

func (v pageView) write(s *sheet) {
	s.add(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>%s</title>
<style>
%s</style>
</head>
<body>
<main>
<h1>%s</h1>
`, v.Title, markup(pageStyle), v.Title)
	v.facts(s)
	for _, sentence := range v.Lead() {
		s.add("<p>%s</p>\n", sentence)
	}
	v.short(s)
	v.endings(s)
	s.add("\n<h2>Waiting</h2>\n")
	v.WaitPlot().write(s)
	s.add("\n")
	plots(s, v.WaitingPlot(), v.FlowPlot(), v.WithinPlot(), v.SkillOverTime())
	s.add("\n<h2>The matches</h2>\n")
	plots(s, v.Histograms()...)
	s.add("\n<h2>Who waits</h2>\n")
	plots(s, v.GroupPlots()...)
	s.add("\n<h2>Why no match</h2>\n")
	for i := range v.Runs {
		if v.Runs[i].Matcher == "engine" {
			v.reasons(s, &v.Runs[i])
		}
	}
	s.add("\n</main>\n</body>\n</html>\n")
}

// facts say what was played.
func (v pageView) facts(s *sheet) {
	s.add(`<p class="facts">Stream %s: %s tickets of %s players in %s, seed %s.
The matcher ran every %s s; a request timed out after %s s`, v.Stream.Name, count(v.Stream.Tickets), count(v.Stream.Players), hours(v.Stream.Seconds), strconv.FormatUint(v.Stream.Seed, 10),
		show(v.Matchmaker.PassSeconds), show(v.Matchmaker.RequestTimeoutSeconds))
	if v.Matchmaker.AcceptanceRequired {
		s.add("; matches had to be accepted within %s s", show(v.Matchmaker.AcceptanceTimeoutSeconds))
	}
	s.add(".</p>\n")
}

// short is the table of figures.
func (v pageView) short(s *sheet) {
	s.add("\n<h2>In short</h2>\n<div class=\"panel short\"><table>\n<thead><tr><th></th>")
	for _, r := range v.Runs {
		s.add("<th>%s</th>", r.Name)
	}
	if v.Compared() {
		s.add("<th>Change</th><th></th>")
	}
	s.add("</tr></thead>\n<tbody>")
	for _, f := range v.Figures() {
		class := ""
		if strings.ToLower(f.Label[:1]) == f.Label[:1] { // also "95th percentile"
			class = ` class="sub"`
		}
		s.add("\n<tr%s><th>%s</th>", markup(class), f.Label)
		for _, value := range f.Values {
			unit := ""
			if f.Unit != "" {
				unit = " " + f.Unit
			}
			s.add("<td>%s%s</td>", show(value), unit)
		}
		if v.Compared() {
			s.add(`<td>%s</td><td class="%s">%s</td>`, f.Change(), f.Verdict(), f.Verdict())
		}
		s.add("</tr>")
	}
	s.add("\n</tbody></table></div>\n")
}

// endings are how tickets ended, a bar a run.
func (v pageView) endings(s *sheet) {
	s.add("\n<h2>How tickets ended</h2>\n")
	for _, r := range v.Runs {
		if v.Compared() {
			s.add("<p>%s</p>", r.Name)
		}
		s.add("\n<div class=\"stack\" role=\"img\" aria-label=\"How tickets ended; the figures follow\">")
		for _, p := range r.Parts() {
			s.add(`<span class="%s" style="%s" title="%s: %s"></span>`, p.Class, width(p.Count, r.Tickets), p.Name, count(p.Count))
		}
		s.add("</div>\n<ul class=\"parts\">")
		for _, p := range r.Parts() {
			s.add(`<li><i class="%s"></i>%s %s (%s)</li>`, p.Class, p.Name, count(p.Count), share(p.Count, r.Tickets))
		}
		s.add("</ul>\n")
	}
	s.add("\n")
}

// plots are plots side by side.
func plots(s *sheet, list ...Plot) {
	s.add("<div class=\"grid2\">\n")
	for _, p := range list {
		p.write(s)
		s.add("\n")
	}
	s.add("</div>\n")
}

func (p Plot) write(s *sheet) {
	class := ""
	if p.Wide {
		class = ` class="wide"`
	}
	s.add("<figure%s>\n<figcaption><b>%s</b><span>%s</span></figcaption>\n", markup(class), p.Title, p.Note)
	if len(p.Legend) > 0 {
		s.add(`<ul class="legend">`)
		for _, k := range p.Legend {
			s.add(`<li><i class="%s"></i>%s</li>`, k.Class, k.Name)
		}
		s.add("</ul>")
	}
	s.add("\n<div class=\"plot\">%s</div>\n<details><summary>Table</summary><div class=\"scroll\"><table>\n<thead><tr>", p.SVG)
	for _, h := range p.Head {
		s.add("<th>%s</th>", h)
	}
	s.add("</tr></thead>\n<tbody>")
	for _, row := range p.Rows {
		s.add("<tr>")
		for i, cell := range row {
			if i == 0 {
				s.add("<th>%s</th>", cell)
			} else {
				s.add("<td>%s</td>", cell)
			}
		}
		s.add("</tr>\n")
	}
	s.add("</tbody></table></div></details>\n</figure>")
}

// reasons are why a run's tickets found no match, and how often its rules were tried.
func (v pageView) reasons(s *sheet, r *Run) {
	s.add("\n")
	if v.Compared() {
		s.add("<p><b>%s</b></p>", r.Name)
	}
	s.add("\n")
	if len(r.Failures.Reasons) == 0 {
		s.add(`<p class="facts">Every ticket found a match or was declined; nobody had to be asked.</p>`)
	} else {
		r.failures(s)
	}
	s.add("\n")
	if len(r.Rules) > 0 {
		r.rules(s)
	}
	s.add("\n")
}

func (r *Run) failures(s *sheet) {
	s.add(`<p class="facts">%s tickets timed out or left while they searched; %s of them, spread over time, were asked why.</p>
<div class="panel"><table class="reasons">
<thead><tr><th>What stood in the way</th><th></th><th class="left">Of those asked</th><th class="left">Half of them needed</th><th class="left">For example</th></tr></thead>
<tbody>`, count(r.Failures.Unmatched), count(r.Failures.Explained))
	for _, f := range r.Failures.Reasons {
		s.add(`
<tr><th>%s</th><td>%s</td><td class="left meter"><div style="%s"></div></td><td class="needed">`, f.Reason, share(f.Count, r.Failures.Explained), width(f.Count, r.Failures.Explained))
		if f.Target != "" {
			s.add("<code>%s</code> %s", f.Target, show(f.Needed))
		}
		s.add(`</td><td class="left example">%s</td></tr>`, f.Example)
	}
	s.add("\n</tbody></table></div>")
}

func (r *Run) rules(s *sheet) {
	s.add(`<p class="facts">How often each rule was tried in the searches for matches and for tickets that found none. Candidates the index already left out are not tried.</p>
<div class="panel"><table>
<thead><tr><th>Rule</th><th class="left">Type</th><th>Tried</th><th>Failed</th><th class="left">Share that failed</th></tr></thead>
<tbody>`)
	for _, one := range r.Rules {
		s.add(`
<tr><th>%s</th><td class="left">%s</td><td>%s</td><td>%s</td><td class="left meter"><div style="%s"></div></td></tr>`,
			one.Name, one.Type, count(one.Tried()), share(one.Failed, one.Tried()), width(one.Failed, one.Tried()))
	}
	s.add("\n</tbody></table></div>")
}
