package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	examples "github.com/matchyard/matchyard/examples/flexmatch"
)

func TestScratch(t *testing.T) {
	for _, name := range strings.Fields(os.Getenv("SC")) {
		rules, profile, err := examples.Stream(name)
		if err != nil {
			t.Fatal(err)
		}
		rs, err := ParseRules(name, rules)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseProfile(profile)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Generate(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, greedy := range []bool{os.Getenv("G") != ""} {
			begin := time.Now()
			r, err := Play(t.Context(), Options{Rules: rs, Stream: s, Greedy: greedy})
			if err != nil {
				t.Fatal(err)
			}
			run := NewReport("x", 1, r).Runs[0]
			fmt.Printf("%-10s greedy=%-5v %6.2fs tickets %d matches %d outcomes %v\n   wait %v\n   inq %v\n   skill %v\n   bal %v\n   lat %v size %v\n", name, greedy, time.Since(begin).Seconds(), run.Tickets, run.Matches, run.Outcomes, run.Wait, run.InQueue, run.SkillSpread, run.TeamBalance, run.Latency, run.Size)
			if !greedy {
				for _, f := range run.Failures.Reasons[:min(5, len(run.Failures.Reasons))] {
					fmt.Println("     ", f.Count, f.Reason, f.Target, f.Needed, "|", f.Example)
				}
			}
		}
	}
}
