package flexmatch

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios give back into their files")

// TestScenarios plays testdata/scenarios/*.txt. A file is a sequence of blocks; a block is
// commands, a line "----", and what they print. The commands are
//
//	ruleset            a rule set on the following lines, up to "end"; a new pool
//	options free=1     slots to keep free; party-as-one, any-location
//	ticket ID at=5     a ticket; "backfill" makes it one; its players follow, indented:
//	                   name attribute=value list=[a,b] map={k:1} location:40 team=red
//	pass 10            match at second 10
//	explain ID 10      why is it not matched
//	remove ID
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

// stage is the state of a scenario.
type stage struct {
	rs   *RuleSet
	opts Options
	pool *Pool
	out  strings.Builder
}

// play runs a scenario and returns its text with the outputs it gives.
func play(text string) string {
	var result strings.Builder
	var s stage
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		fmt.Fprintln(&result, line)
		if line == "----" {
			result.WriteString(s.out.String())
			s.out.Reset()
			for i+1 < len(lines) && lines[i+1] != "" {
				i++ // the expected output
			}
			continue
		}
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		var block []string
		for i+1 < len(lines) && (words[0] == "ruleset" && lines[i] != "end" || words[0] == "ticket" && strings.HasPrefix(lines[i+1], " ")) {
			i++
			block = append(block, lines[i])
			fmt.Fprintln(&result, lines[i])
		}
		s.run(words, block)
	}
	return result.String()
}

func (s *stage) run(words, block []string) {
	switch words[0] {
	case "ruleset":
		var err error
		if s.rs, err = Parse(strings.Join(block[:len(block)-1], "\n")); err != nil {
			fmt.Fprintln(&s.out, err)
			return
		}
		s.opts = Options{}
		s.pool = NewPool(s.rs, s.opts)
	case "options":
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			switch key {
			case "free":
				s.opts.AdditionalPlayerCount, _ = strconv.Atoi(value)
			case "party-as-one":
				s.opts.PartyAsOne = true
			case "any-location":
				s.opts.AnyLocation = true
			}
		}
		s.pool = NewPool(s.rs, s.opts)
	case "ticket":
		s.pool.Add(s.ticket(words[1:], block))
	case "pass":
		s.pass(words[1])
	case "explain":
		at, _ := strconv.Atoi(words[2])
		e, _ := s.pool.Explain(words[1], second(at))
		fmt.Fprintln(&s.out, e)
	case "remove":
		s.pool.Remove(words[1])
	default:
		fmt.Fprintf(&s.out, "unknown command %q\n", words[0])
	}
}

func (s *stage) ticket(words, players []string) *Ticket {
	t := &Ticket{ID: words[0], Start: second(0)}
	for _, w := range words[1:] {
		if at, ok := strings.CutPrefix(w, "at="); ok {
			n, _ := strconv.Atoi(at)
			t.Start = second(n)
		}
		t.Backfill = t.Backfill || w == "backfill"
	}
	for _, line := range players {
		t.Players = append(t.Players, s.player(strings.Fields(line)))
	}
	return t
}

func (s *stage) player(words []string) types.Player {
	p := types.Player{PlayerId: new(words[0]), PlayerAttributes: map[string]types.AttributeValue{}, LatencyInMs: map[string]int32{}}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			at, ms, _ := strings.Cut(w, ":")
			n, _ := strconv.Atoi(ms)
			p.LatencyInMs[at] = int32(n)
			continue
		}
		if key == "team" {
			p.Team = new(value)
			continue
		}
		i, _ := s.rs.attribute(key)
		inner := strings.Trim(value, "[]{}")
		switch s.rs.Attributes[i].Type {
		case Number:
			n, _ := strconv.ParseFloat(value, 64)
			p.PlayerAttributes[key] = types.AttributeValue{N: new(n)}
		case String:
			p.PlayerAttributes[key] = types.AttributeValue{S: new(value)}
		case StringList:
			p.PlayerAttributes[key] = types.AttributeValue{SL: strings.Split(inner, ",")}
		case StringNumberMap:
			m := map[string]float64{}
			for entry := range strings.SplitSeq(inner, ",") {
				k, v, _ := strings.Cut(entry, ":")
				m[k], _ = strconv.ParseFloat(v, 64)
			}
			p.PlayerAttributes[key] = types.AttributeValue{SDM: m}
		}
	}
	return p
}

func (s *stage) pass(at string) {
	n, _ := strconv.Atoi(at)
	for {
		made := s.pool.Pass(second(n))
		for _, m := range made {
			fmt.Fprintf(&s.out, "match %s:", strings.Join(ids(m.Tickets), " "))
			for _, team := range m.Teams {
				var names []string
				for _, p := range team.Players {
					names = append(names, *p.PlayerId)
				}
				fmt.Fprintf(&s.out, " %s=[%s]", team.Name, strings.Join(names, " "))
			}
			fmt.Fprintln(&s.out)
		}
		if len(made) == 0 {
			break
		}
	}
	fmt.Fprintln(&s.out, "waiting", slices.Sorted(maps.Keys(s.pool.rows)))
}
