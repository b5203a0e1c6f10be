package metrics_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/metrics"
)

// elsewhere are the series of this program that app declares, where it has what they show.
var elsewhere = []string{
	"matchyard_sockets", "matchyard_hosts", "matchyard_agents", "matchyard_beacon_received_total", "matchyard_beacon_answered_total",
}

// What the dashboards and alerts of deploy/ ask for is there to be asked for.
func TestDashboardsAndAlertsAskForWhatThereIs(t *testing.T) {
	known := metrics.Names()
	for _, file := range []string{"../../deploy/grafana/matchyard.json", "../../deploy/prometheus/alerts.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked := map[string]bool{}
		for _, name := range regexp.MustCompile(`\b(gamelift|matchyard)_[a-z0-9_]+`).FindAllString(string(text), -1) {
			asked[strings.TrimSuffix(name, "_bucket")] = true
		}
		if len(asked) < 8 {
			t.Fatalf("%s asks for %d series", file, len(asked))
		}
		for name := range asked {
			if !slices.Contains(known, name) && !slices.Contains(elsewhere, name) {
				t.Errorf("%s asks for %s", file, name)
			}
		}
	}
}
