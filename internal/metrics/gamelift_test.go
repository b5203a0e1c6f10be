package metrics_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/metrics"
)

func TestTheFamilyOfAWSNames(t *testing.T) {
	m := metrics.New("v1")
	m.Count("gamelift_placements_started_total", 3, []string{"arena"})
	m.Count("gamelift_placements_started_total", 1, []string{"arena"})
	m.Count("gamelift_placement_wait_seconds", 0.3, []string{"arena"})
	reads := 0
	m.Watch(func() ([]metrics.Reading, error) {
		reads++
		return []metrics.Reading{{"gamelift_active_game_sessions", 5, []string{"fleet-1", "us-west-2"}}}, nil
	})
	for range 3 {
		text := page(t, m)
		for _, want := range []string{
			`gamelift_placements_started_total{queue_name="arena"} 4`,
			`gamelift_placement_wait_seconds_bucket{queue_name="arena",le="0.5"} 1`,
			`gamelift_placement_wait_seconds_bucket{queue_name="arena",le="0.25"} 0`,
			`gamelift_active_game_sessions{fleet_id="fleet-1",location="us-west-2"} 5`,
		} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("metrics lack %s", want)
			}
		}
	}
	if reads != 1 {
		t.Errorf("the gauges were read %d times within five seconds", reads)
	}
	defer func() {
		if recover() == nil {
			t.Error("a series that is not in the catalogue was counted")
		}
	}()
	m.Count("gamelift_songs_total", 1, nil)
}

func TestGaugesThatCannotBeRead(t *testing.T) {
	m := metrics.New("v1")
	m.Watch(func() ([]metrics.Reading, error) { return nil, errors.New("no database") })
	if text := page(t, m); strings.Contains(text, "gamelift_active_game_sessions{") || !strings.Contains(text, "matchyard_info") {
		t.Error("a failure to read should leave the gauges out, and them alone")
	}
}
