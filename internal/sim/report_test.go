package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPercentiles against counting: the smallest value that at least p of a hundred do not
// exceed.
func TestPercentiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 250; n++ {
		values := make([]float64, n)
		sum := 0.0
		for i := range values {
			values[i] = float64(rng.IntN(60)) / 2
			sum += values[i]
		}
		naive := func(p int) float64 {
			best := -1.0
			for _, v := range values {
				atMost := 0
				for _, w := range values {
					if w <= v {
						atMost++
					}
				}
				if atMost*100 >= p*n && (best < 0 || v < best) {
					best = v
				}
			}
			return best
		}
		want := Spread{Count: n, Mean: round(sum / float64(n)), P50: naive(50), P90: naive(90), P95: naive(95), P99: naive(99), Max: slices.Max(values)}
		if got := spreadOf(slices.Clone(values)); got != want {
			t.Fatalf("of %v:\n%+v, want\n%+v", values, got, want)
		}
	}
	if got := spreadOf(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestBinsHoldEverything(t *testing.T) {
	values := []float64{0, 0.5, 1, 9.99, 10, 25, 1000}
	got := bins(values, []float64{0, 1, 10, 20})
	want := []Bin{{0, 1, 2}, {1, 10, 2}, {10, 20, 3}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, top := range []float64{0, 0.003, 1, 7, 99, 12345} {
		if step := niceStep(top, 10); step <= 0 || top/step > 10 {
			t.Errorf("niceStep(%v) = %v", top, step)
		}
	}
}

// TestNumbersAgree: the stretches of time, the groups and the curve add up to the totals,
// recounted here from the result.
func TestNumbersAgree(t *testing.T) {
	rules, profile := standard(t, "5v5-roles")
	s := generate(t, profile, 2, 0.25)
	result := played(t, Options{Rules: rules, Stream: s, Explain: 20})
	run := NewReport("", 2, result).Runs[0]
	arrived, matched, gaveUp, matches := 0, 0, 0, 0
	for _, slot := range run.OverTime {
		arrived, matched, gaveUp, matches = arrived+slot.Arrived, matched+slot.Matched, gaveUp+slot.GaveUp, matches+slot.Matches
	}
	if arrived != len(s.Tickets) || matched != run.Outcomes[Matched] || gaveUp != run.Outcomes[TimedOut]+run.Outcomes[Left] || matches != run.Matches {
		t.Errorf("stretches sum up to %d, %d, %d, %d; totals are %d, %v, %d", arrived, matched, gaveUp, matches, len(s.Tickets), run.Outcomes, run.Matches)
	}
	for _, g := range run.Groups {
		n, m := 0, 0
		for _, row := range g.Rows {
			n, m = n+row.Tickets, m+row.Matched
		}
		if n != len(s.Tickets) || m != run.Outcomes[Matched] {
			t.Errorf("by %s: %d tickets, %d matched; want %d and %d", g.By, n, m, len(s.Tickets), run.Outcomes[Matched])
		}
	}
	players := 0
	for _, m := range result.matches {
		for _, i := range m.tickets {
			players += len(s.Tickets[i].Players)
		}
	}
	if players != run.Players || run.Players != 10*run.Matches {
		t.Errorf("%d players in %d matches, want %d", run.Players, run.Matches, players)
	}
	for _, p := range run.Within {
		n := 0
		for _, e := range result.ends {
			if e.how == Matched && e.wait.Seconds() <= p.X+0.0005 {
				n++
			}
		}
		if want := float64(n) / float64(len(s.Tickets)); p.Y < want-0.002 || p.Y > want+0.002 {
			t.Errorf("within %v s: %v, want %v", p.X, p.Y, want)
		}
	}
}

// TestHostileNames: whatever rule sets, streams and players call themselves, the page has
// the tags it has, and no others.
func TestHostileNames(t *testing.T) {
	const evil = `</title><script>alert(1)</script>"'><img src=x onerror=alert(2)>&lt;{{.}}`
	text, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	name := string(text)
	rules, err := ParseRules(evil, []byte(fmt.Sprintf(`{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"},{"name":%s,"type":"string"}],
	 "teams":[{"name":"side","minPlayers":1,"maxPlayers":1,"quantity":2}],
	 "rules":[{"name":%s,"type":"batchDistance","batchAttribute":"skill","maxDistance":1}]}`, name, name)))
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "{\"stream\":{\"name\":%s,\"matchmaker\":{\"requestTimeoutSeconds\":5},\"lengthSeconds\":600}}\n", name)
	for i := range 60 {
		id, _ := json.Marshal(fmt.Sprintf("%s%d", evil, i))
		fmt.Fprintf(&lines, `{"ticketId":%s,"at":%d,"region":%s,"players":[{"playerId":%s,"latencyInMs":{%s:20},"attributes":{"skill":{"N":%d},%s:{"S":%s}}}]}`+"\n",
			id, i, name, id, name, i%3*i, name, fmt.Sprintf(`"%d<b onclick=a>"`, i%2))
	}
	s, err := ReadStream(strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	first, second := played(t, Options{Rules: rules, Stream: s, Label: evil}), played(t, Options{Rules: rules, Stream: s, Label: evil + "2"})
	r := NewReport(evil, 1, first, second)
	if run := r.Runs[0]; run.Matches == 0 || len(run.Failures.Reasons) == 0 || len(run.Groups) < 4 {
		t.Fatalf("%d matches, %d reasons, %d groups: the page would not show everything", run.Matches, len(run.Failures.Reasons), len(run.Groups))
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	checkTags(t, page.String())
	if n := strings.Count(html.UnescapeString(page.String()), evil); n < 20 {
		t.Errorf("the name stands on the page %d times, want it everywhere", n)
	}
}

var (
	tag       = regexp.MustCompile(`<(/?)([a-zA-Z!][a-zA-Z0-9]*)((?:[^<>"]|"[^"]*")*)>`)
	attribute = regexp.MustCompile(`([a-zA-Z:-]+)(?:="[^"]*")?`)
	tagNames  = strings.Fields(`html head meta title style body main h1 h2 p b i div span table thead tbody tr th td ul li figure figcaption details
	 summary code svg g line text path rect circle`)
)

// checkTags holds a page to the tags and attributes it is made of, each closed in turn.
func checkTags(t *testing.T, page string) {
	t.Helper()
	if strings.Count(page, "<") != len(tag.FindAllString(page, -1)) {
		t.Error("there is a < that opens no tag")
	}
	var open []string
	for _, m := range tag.FindAllStringSubmatch(page, -1) {
		name := strings.ToLower(m[2])
		switch {
		case name == "!doctype" || name == "meta" || strings.HasSuffix(m[3], "/"):
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("</%s> closes %v", name, open[max(0, len(open)-3):])
		default:
			open = open[:len(open)-1]
		}
		if name != "!doctype" && !slices.Contains(tagNames, name) {
			t.Errorf("a tag that does not belong here: %s", m[0])
		}
		for _, a := range attribute.FindAllStringSubmatch(m[3], -1) {
			if strings.HasPrefix(a[1], "on") || a[1] == "src" || a[1] == "href" {
				t.Errorf("an attribute that does not belong here: %s", m[0])
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %v", open)
	}
}

// TestPageOfNothing: a stream in which nothing matches still makes a page.
func TestPageOfNothing(t *testing.T) {
	rules, err := ParseRules("duel", []byte(duel))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadStream(strings.NewReader(ticket("alone", 1, 5, "")))
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := NewReport("nothing", 1, played(t, Options{Rules: rules, Stream: s})).HTML(&page); err != nil {
		t.Fatal(err)
	}
	checkTags(t, page.String())
	for _, bad := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("%s on the page", bad)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		f               Figure
		change, verdict string
	}{
		{Figure{Values: []float64{50}}, "", ""},
		{Figure{Values: []float64{50, 55}, Lower: true}, "+10.0 %", "worse"},
		{Figure{Values: []float64{50, 55}, Higher: true}, "+10.0 %", "better"},
		{Figure{Values: []float64{50, 50.2}, Higher: true}, "+0.4 %", ""},
		{Figure{Values: []float64{50, 49.99}, Lower: true}, "0 %", ""},
		{Figure{Values: []float64{0, 49}, Lower: true}, "", ""},
		{Figure{Values: []float64{0, 3}, Unit: "%", Lower: true}, "+3.0 pt", "worse"},
		{Figure{Values: []float64{90, 80}, Unit: "%", Higher: true}, "-10.0 pt", "worse"},
		{Figure{Values: []float64{90, 80}}, "-11.1 %", ""},
	} {
		if got := c.f.Change(); got != c.change || c.f.Verdict() != c.verdict {
			t.Errorf("%+v: %q %q, want %q %q", c.f, got, c.f.Verdict(), c.change, c.verdict)
		}
	}
}

func TestNumbersInWords(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0331: "0.033", 1.5: "1.5", 12.345: "12.3", 123.4: "123", 1234567: "1,234,567", -1234.5: "-1,234", 100: "100", 99.96: "100"} {
		if got := show(v); got != want {
			t.Errorf("show(%v) = %q, want %q", v, got, want)
		}
	}
	if got := slotLength(6 * time.Hour); got != 5*time.Minute {
		t.Errorf("six hours in stretches of %v, want 5m", got)
	}
}
