package scaling_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/scaling"
)

var update = flag.Bool("update", false, "write what scenarios print into their files")

// TestScenarios plays the files of testdata, whose language is in testdata/README.md: what
// a command prints stands behind it, in lines that begin with "> ".
func TestScenarios(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) < 6 {
		t.Fatalf("%d scenarios, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s is played differently:\n%s", name, got)
			}
		})
	}
}

// stage is a location with its policies, and instances that follow what is decided.
type stage struct {
	now      time.Time
	l        scaling.Location
	policies []scaling.Policy
	memories []scaling.Memory
	stands   bool // instances stand as soon as they are wanted
}

func play(t *testing.T, text string) string {
	t.Helper()
	s := &stage{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), stands: true}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		for _, said := range s.do(t, words) {
			out.WriteString("> " + said + "\n")
		}
	}
	return out.String()
}

func (s *stage) do(t *testing.T, words []string) (said []string) {
	t.Helper()
	switch words[0] {
	case "location":
		for _, w := range words[1:] {
			s.set(t, w)
		}
		s.l.Sample.ActiveInstances = s.l.Desired
	case "rule": // rule NAME METRIC < 10 for 3 min, +2
		p := scaling.Policy{Name: words[1], Metric: types.MetricName(words[2]), Compare: comparison(t, words[3])}
		p.Limit, p.Minutes = float(t, words[4]), int(float(t, words[6]))
		by := words[8]
		p.Adjust = types.ScalingAdjustmentTypeChangeInCapacity
		if rest, ok := strings.CutPrefix(by, "="); ok {
			p.Adjust, by = types.ScalingAdjustmentTypeExactCapacity, rest
		}
		if rest, ok := strings.CutSuffix(by, "%"); ok {
			p.Adjust, by = types.ScalingAdjustmentTypePercentChangeInCapacity, rest
		}
		p.By = int(float(t, by))
		s.policies, s.memories = append(s.policies, p), append(s.memories, scaling.Memory{})
	case "target":
		v := float(t, words[2])
		s.policies = append(s.policies, scaling.Policy{Name: words[1], Metric: types.MetricNamePercentAvailableGameSessions, Target: &v})
		s.memories = append(s.memories, scaling.Memory{})
	case "minutes": // minutes N [key=value …]: the sample, which holds until it is changed
		for _, w := range words[2:] {
			s.set(t, w)
		}
		for range int(float(t, words[1])) {
			s.now = s.now.Add(time.Minute)
			if s.stands {
				s.l.Sample.Pending, s.l.Sample.ActiveInstances = 0, s.l.Desired
				used := s.l.Sample.Active + s.l.Sample.Activating
				s.l.Sample.Free = max(0, s.l.Desired*s.l.Sample.PerInstance-used)
				s.l.Sample.IdleInstances = s.l.Sample.Free / max(s.l.Sample.PerInstance, 1)
			}
			if d := scaling.Decide(s.now, s.l, s.policies, s.memories, scaling.Settings{}); d.Desired != s.l.Desired {
				said = append(said, fmt.Sprintf("%s %s", s.now.Format("15:04"), d.Why))
				s.l.Desired = d.Desired
			}
		}
	default:
		t.Fatalf("unknown command %v", words)
	}
	return said
}

// set reads key=value.
func (s *stage) set(t *testing.T, word string) {
	t.Helper()
	key, text, _ := strings.Cut(word, "=")
	v := int(float(t, text))
	fields := map[string]*int{
		"desired": &s.l.Desired, "min": &s.l.Min, "max": &s.l.Max, "per": &s.l.Sample.PerInstance,
		"active": &s.l.Sample.Active, "activating": &s.l.Sample.Activating, "free": &s.l.Sample.Free, "unhealthy": &s.l.Sample.Unhealthy,
		"instances": &s.l.Sample.ActiveInstances, "idle": &s.l.Sample.IdleInstances, "pending": &s.l.Sample.Pending,
		"players": &s.l.Sample.Players, "slots": &s.l.Sample.Slots, "queue": &s.l.Sample.QueueDepth,
	}
	switch field := fields[key]; {
	case key == "stands":
		s.stands = v == 1
	case key == "wait":
		s.l.Sample.OldestWait = time.Duration(v) * time.Second
	case field == nil:
		t.Fatalf("unknown key %s", key)
	default:
		*field = v
	}
}

func comparison(t *testing.T, word string) types.ComparisonOperatorType {
	t.Helper()
	c, ok := map[string]types.ComparisonOperatorType{
		"<": types.ComparisonOperatorTypeLessThanThreshold, "<=": types.ComparisonOperatorTypeLessThanOrEqualToThreshold,
		">": types.ComparisonOperatorTypeGreaterThanThreshold, ">=": types.ComparisonOperatorTypeGreaterThanOrEqualToThreshold,
	}[word]
	if !ok {
		t.Fatalf("comparison %s", word)
	}
	return c
}

func float(t *testing.T, word string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(word, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
