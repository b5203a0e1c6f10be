package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0).UTC() }

func ticket(id string, players ...string) *Ticket {
	t := &Ticket{ID: id, Status: Searching, Start: at(0)}
	for _, p := range players {
		t.Players = append(t.Players, Player{ID: p})
	}
	return t
}

func kinds(events []Event) string {
	var out []string
	for _, e := range events {
		word := e.Type
		if e.Acceptance != "" {
			word += ":" + e.Acceptance
		}
		if len(e.Tickets) == 1 {
			word += "(" + e.Tickets[0].ID + ")"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func statuses(tickets ...*Ticket) string {
	var out []string
	for _, t := range tickets {
		out = append(out, t.ID+"="+string(t.Status))
	}
	return strings.Join(out, " ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

var asking = Config{AcceptanceRequired: true, AcceptanceTimeout: 30 * time.Second, RequestTimeout: 300 * time.Second}

var sides = map[string]string{"ann": "red", "abe": "red", "bob": "blue", "cyd": "blue"}

func TestAllAccept(t *testing.T) {
	for _, c := range []struct {
		name       string
		standalone bool
		status     string
		events     string
	}{
		{"with a queue", false, "t1=PLACING t2=PLACING", "AcceptMatch AcceptMatchCompleted:Accepted"},
		{"standalone", true, "t1=COMPLETED t2=COMPLETED", "AcceptMatch AcceptMatchCompleted:Accepted MatchmakingSucceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := asking
			rules.Standalone = c.standalone
			t1, t2 := ticket("t1", "ann", "abe"), ticket("t2", "bob")
			p, events := rules.Propose("m", []*Ticket{t1, t2}, sides, at(1))
			expect(t, "events", kinds(events), "PotentialMatchCreated")
			if !p.Deadline.Equal(at(31)) || t1.Players[0].Team != "red" || t2.MatchID != "m" {
				t.Errorf("proposal %+v of %+v", p, t1)
			}
			outcome, events, err := rules.Accept(p, t1, []string{"ann", "abe"}, true, at(2))
			if outcome != Open || err != nil {
				t.Fatal(outcome, err)
			}
			expect(t, "events", kinds(events), "AcceptMatch")
			outcome, events, err = rules.Accept(p, t2, []string{"bob"}, true, at(3))
			if outcome != Accepted || err != nil {
				t.Fatal(outcome, err)
			}
			expect(t, "events", kinds(events), c.events)
			expect(t, "statuses", statuses(t1, t2), c.status)
		})
	}
}

func TestRejection(t *testing.T) {
	t1, t2, t3 := ticket("t1", "ann", "abe"), ticket("t2", "bob"), ticket("t3", "cyd")
	p, _ := asking.Propose("m", []*Ticket{t1, t2, t3}, sides, at(1))
	if _, _, err := asking.Accept(p, t1, []string{"ann", "abe"}, true, at(2)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := asking.Accept(p, t1, []string{"zoe"}, true, at(2)); err == nil {
		t.Error("a stranger could answer")
	}
	outcome, events, err := asking.Accept(p, t2, []string{"bob"}, false, at(3))
	if outcome != Dropped || err != nil {
		t.Fatal(outcome, err)
	}
	// cyd was silent: cancelled under the API's words; ann and abe search on.
	expect(t, "statuses", statuses(t1, t2, t3), "t1=SEARCHING t2=CANCELLED t3=CANCELLED")
	expect(t, "events", kinds(events), "AcceptMatch AcceptMatchCompleted:Rejected MatchmakingSearching(t1) MatchmakingCancelled(t2) MatchmakingCancelled(t3)")
	expect(t, "reasons", t1.Reason+" "+t2.Reason+" "+t3.Reason, "AcceptanceFailed AcceptanceRejected AcceptanceTimedOut")
	if t1.Players[0].Accepted != nil || t1.Players[0].Team != "" || !t1.Start.Equal(at(0)) || !t1.End.IsZero() || !t2.End.Equal(at(3)) {
		t.Errorf("t1 %+v, t2 ended %v", t1, t2.End)
	}
	if events[1].Tickets[1].Players[0].Accepted == nil {
		t.Error("the event lost the answer")
	}
	if _, _, err := asking.Accept(p, t1, []string{"ann"}, true, at(4)); err == nil {
		t.Error("an answer without a proposal")
	}
}

func TestSilentTicketsMaySearchOn(t *testing.T) {
	rules := asking
	rules.SilentSearchOn = true
	t1, t2 := ticket("t1", "ann"), ticket("t2", "bob")
	p, _ := rules.Propose("m", []*Ticket{t1, t2}, sides, at(1))
	if _, _, err := rules.Accept(p, t2, []string{"bob"}, false, at(3)); err != nil {
		t.Fatal(err)
	}
	expect(t, "statuses", statuses(t1, t2), "t1=SEARCHING t2=CANCELLED")
}

func TestSilence(t *testing.T) {
	t1, t2, b := ticket("t1", "ann"), ticket("t2", "bob", "cyd"), ticket("b", "gus")
	b.Backfill, b.Players[0].Team = true, "red"
	p, _ := asking.Propose("m", []*Ticket{b, t1, t2}, map[string]string{"ann": "red", "bob": "blue", "cyd": "blue", "gus": "red"}, at(1))
	if _, _, err := asking.Accept(p, t1, []string{"ann"}, true, at(2)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := asking.Accept(p, t2, []string{"bob"}, true, at(2)); err != nil {
		t.Fatal(err)
	}
	events := asking.Expire(p, at(31))
	expect(t, "statuses", statuses(t1, t2, b), "t1=SEARCHING t2=CANCELLED b=SEARCHING")
	expect(t, "events", kinds(events), "AcceptMatchCompleted:TimedOut MatchmakingSearching(b) MatchmakingSearching(t1) MatchmakingCancelled(t2)")
	if b.Players[0].Team != "red" {
		t.Error("a backfill player lost the team")
	}
}

func TestAnswersChange(t *testing.T) {
	t1, t2 := ticket("t1", "ann", "abe"), ticket("t2", "bob")
	p, _ := asking.Propose("m", []*Ticket{t1, t2}, sides, at(1))
	if outcome, _, _ := asking.Accept(p, t1, []string{"ann"}, true, at(2)); outcome != Open {
		t.Fatal(outcome)
	}
	if outcome, _, _ := asking.Accept(p, t1, []string{"ann"}, false, at(3)); outcome != Dropped {
		t.Errorf("an acceptance could not be taken back: %v", outcome)
	}
}

func TestStop(t *testing.T) {
	t1, t2 := ticket("t1", "ann"), ticket("t2", "bob")
	events, err := asking.Stop(t1, nil, at(5))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "events", kinds(events), "MatchmakingCancelled(t1)")
	expect(t, "reason", t1.Reason+" / "+t1.Message, "Cancelled / Cancelled by request.")
	if _, err := asking.Stop(t1, nil, at(6)); err == nil {
		t.Error("a final ticket was stopped")
	}
	t1 = ticket("t1", "ann")
	p, _ := asking.Propose("m", []*Ticket{t1, t2}, sides, at(7))
	events, err = asking.Stop(t1, p, at(8))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "events", kinds(events), "MatchmakingCancelled(t1) AcceptMatchCompleted:Rejected MatchmakingSearching(t2)")
	expect(t, "statuses", statuses(t1, t2), "t1=CANCELLED t2=SEARCHING")
	t2.Status = Placing
	_, err = asking.Stop(t2, nil, at(9))
	if err == nil || err.Error() != "Matchmaking ticket is in PLACING status and cannot be canceled." {
		t.Errorf("stop while placing: %v", err)
	}
}

func TestTimeouts(t *testing.T) {
	t1 := ticket("t1", "ann")
	if asking.Overdue(t1, at(299)) || !asking.Overdue(t1, at(300)) {
		t.Error("a request times out when its timeout has passed")
	}
	events := asking.TimeOut(t1, at(300))
	expect(t, "events", kinds(events), "MatchmakingTimedOut(t1)")
	expect(t, "reason", t1.Reason+" / "+t1.Message, "TimedOut / Removed from matchmaking due to timing out.")

	// A placement that times out sends back the young and ends the old.
	young, old := ticket("young", "bob"), ticket("old", "cyd")
	young.Start = at(250)
	rules := asking
	rules.AcceptanceRequired = false
	p, events := rules.Propose("m", []*Ticket{young, old}, sides, at(290))
	expect(t, "events", kinds(events), "PotentialMatchCreated")
	if rules.Overdue(old, at(400)) {
		t.Error("a ticket in placement has no request timeout")
	}
	events = rules.PlacementTimedOut(p, at(400))
	expect(t, "events", kinds(events), "MatchmakingSearching(young) MatchmakingTimedOut(old)")
	expect(t, "statuses", statuses(young, old), "young=SEARCHING old=TIMED_OUT")
}

func TestPlacementEnds(t *testing.T) {
	rules := Config{RequestTimeout: time.Hour}
	propose := func() (*Proposal, *Ticket) {
		tk := ticket("t1", "ann")
		p, _ := rules.Propose("m", []*Ticket{tk}, sides, at(1))
		return p, tk
	}
	p, tk := propose()
	expect(t, "events", kinds(rules.PlacementFailed(p, at(2))), "MatchmakingFailed(t1)")
	expect(t, "ticket", statuses(tk)+" "+tk.Reason, "t1=FAILED UNEXPECTED_ERROR")
	p, tk = propose()
	expect(t, "events", kinds(rules.Placed(p, at(2))), "MatchmakingSucceeded(t1)")
	expect(t, "ticket", statuses(tk)+" "+tk.Players[0].Team, "t1=COMPLETED red")
	p, tk = propose()
	expect(t, "events", kinds(rules.PlacementCancelled(p, at(2))), "MatchmakingCancelled(t1)")
	expect(t, "ticket", statuses(tk), "t1=CANCELLED")
}

func TestDuplicateIsSilent(t *testing.T) {
	t1, t2 := ticket("t1", "ann"), ticket("t2", "bob")
	p, _ := asking.Propose("m", []*Ticket{t1, t2}, sides, at(1))
	expect(t, "events", kinds(asking.Duplicate(t1, p, at(2))), "AcceptMatchCompleted:Rejected MatchmakingSearching(t2)")
	expect(t, "statuses", statuses(t1, t2)+" "+t1.Reason, "t1=CANCELLED t2=SEARCHING Cancelled due to duplicate player")
	t2.Status = Placing
	if events := asking.Duplicate(t2, nil, at(3)); len(events) > 0 || t2.Status != Placing {
		t.Error("a ticket in placement was cancelled as a duplicate")
	}
}

// TestLivesEnd draws actions at random: final statuses stay, an open proposal's tickets
// share one status, and no ticket is left in a state nothing can end.
func TestLivesEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := asking
		rules.Standalone = rapid.Bool().Draw(t, "standalone")
		rules.SilentSearchOn = rapid.Bool().Draw(t, "silent")
		all := []*Ticket{ticket("t1", "ann", "abe"), ticket("t2", "bob"), ticket("t3", "cyd")}
		var open *Proposal
		now := 0
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			now += rapid.IntRange(0, 20).Draw(t, "wait")
			before := make([]Status, len(all))
			for i, tk := range all {
				before[i] = tk.Status
			}
			tk := all[rapid.IntRange(0, 2).Draw(t, "ticket")]
			var mine *Proposal
			if open != nil && tk.Status == RequiresAcceptance {
				mine = open
			}
			switch rapid.IntRange(0, 5).Draw(t, "action") {
			case 0:
				if open == nil && !slices.ContainsFunc(all, func(tk *Ticket) bool { return tk.Status != Searching }) {
					open, _ = rules.Propose("m", all, sides, at(now))
				}
			case 1, 2:
				if mine != nil {
					if outcome, _, err := rules.Accept(mine, tk, []string{tk.Players[0].ID}, rapid.IntRange(0, 3).Draw(t, "accept") > 0, at(now)); err != nil || outcome != Open {
						open = nil
					}
				}
			case 3:
				if rapid.IntRange(0, 4).Draw(t, "stop") == 0 {
					if _, err := rules.Stop(tk, mine, at(now)); err == nil && mine != nil {
						open = nil
					}
				}
			case 4:
				if open != nil && !at(now).Before(open.Deadline) {
					rules.Expire(open, at(now))
					open = nil
				}
			case 5:
				for _, tk := range all {
					if rules.Overdue(tk, at(now)) {
						rules.TimeOut(tk, at(now))
					}
				}
			}
			for i, tk := range all {
				was := Ticket{Status: before[i]}
				if was.Final() && tk.Status != before[i] {
					t.Fatalf("%s went from %s to %s", tk.ID, before[i], tk.Status)
				}
				if tk.Final() == tk.End.IsZero() {
					t.Fatalf("%s is %s and ended %v", tk.ID, tk.Status, tk.End)
				}
				if (tk.Status == RequiresAcceptance) != (open != nil) && open != nil {
					t.Fatalf("%s is %s in an open proposal", tk.ID, tk.Status)
				}
			}
		}
	})
}
