package matchmaking

import (
	"fmt"
	"strings"

	"github.com/matchyard/matchyard/internal/flexmatch"
)

// String is the explanation for people.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("Ticket %s of configuration %s: %s", e.TicketID, e.Configuration, e.state())
	line("  %d %s", e.Players, plural(e.Players, "player"))
	if e.StatusReason != "" {
		line("  status reason: %s", e.StatusReason)
	}
	if e.MatchID != "" {
		line("  match %s", e.MatchID)
	}
	switch w := e.Why; {
	case w == nil:
		line("%s", e.Text)
	case w.Never != "":
		line("It can never match: %s", w.Never)
	case w.Matchable:
		line("It can match now, with %s", others(w.Candidate, e.TicketID))
	default:
		e.writeWhy(line, *w)
	}
	return b.String()
}

func (e Explanation) writeWhy(line func(format string, args ...any), w flexmatch.Explanation) {
	verb, would := "Why it is not matched:", "What would work:"
	if e.EndTime != nil {
		verb, would = "Why it was not matched:", "What would have worked:"
	}
	line("%s", verb)
	line("  the nearest match is with %s", others(w.Candidate, e.TicketID))
	switch {
	case w.Rule != "":
		line("  rule %s fails: %s", w.Rule, w.Measure)
	default:
		line("  too few players: %s", w.Measure)
	}
	if len(w.Also) > 0 {
		line("  so do %s", strings.Join(w.Also, ", "))
	}
	if w.Relaxed.Target == "" && w.Next == nil {
		return
	}
	line("%s", would)
	if w.Relaxed.Target != "" {
		line("  - %s of %v", w.Relaxed.Target, w.Relaxed.Value)
	}
	if n := w.Next; n != nil {
		var changes []string
		for _, c := range n.Changes {
			changes = append(changes, fmt.Sprintf("%s becomes %v", c.Target, c.Value))
		}
		line("  - to wait until %s after the start: %s, and it matches %s",
			n.At.Sub(e.StartTime), strings.Join(changes, ", "), others(n.Candidate, e.TicketID))
	}
}

func (e Explanation) state() string {
	switch {
	case e.EndTime != nil:
		return fmt.Sprintf("%s after %s", e.Status, e.EndTime.Sub(e.StartTime))
	case e.Deadline != nil:
		return fmt.Sprintf("%s, times out %s after its start", e.Status, e.Deadline.Sub(e.StartTime))
	}
	return e.Status
}

// others are the tickets of a candidate match beside one.
func others(candidate []string, ticket string) string {
	var rest []string
	for _, id := range candidate {
		if id != ticket {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		return "nobody"
	}
	return strings.Join(rest, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
