package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// prometheus finds a program of Debian's prometheus package; without it the test is skipped,
// or fails where clients are required.
func prometheus(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err != nil && required():
		t.Fatalf("%s: %v", name, err)
	case err != nil:
		t.Skipf("%s: %v", name, err)
	}
	return path
}

// The rules, the configuration and the page itself are what promtool finds right.
func TestPromtoolFindsNothingWrong(t *testing.T) {
	t.Parallel()
	promtool := prometheus(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "../deploy/prometheus/alerts.yaml"}, {"check", "config", "../deploy/prometheus/prometheus.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	s := dev(t, "sqlite")
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(get(t, s.admin+"/metrics"))
	if out, err := check.CombinedOutput(); err != nil && !onlyHints(string(out)) {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// onlyHints tells whether promtool complains of nothing but AWS's own names, which say wait
// time and not wait seconds.
func onlyHints(out string) bool {
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "gamelift_") && !strings.HasPrefix(line, "go_") {
			return false
		}
	}
	return true
}

func get(t testing.TB, from string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, from, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v\n%s", from, answer.StatusCode, err, text)
	}
	return string(text)
}

// Prometheus scrapes a server, and evaluates every query of the dashboard and of the alerts.
func TestPrometheusEvaluatesTheQueries(t *testing.T) {
	t.Parallel()
	program := prometheus(t, "prometheus")
	s := dev(t, "sqlite")
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: matchyard, static_configs: [{targets: [%q]}]}]\n", strings.TrimPrefix(s.admin, "http://"))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address)
	log := &tail{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	scraped := func() bool {
		n, err := evaluate(t, address, `up{job="matchyard"} == 1`)
		return err == nil && n == 1
	}
	for end := time.Now().Add(60 * time.Second); !scraped(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("prometheus does not scrape:\n%s", log)
		}
	}
	all := queries(t)
	if len(all) < 40 {
		t.Errorf("%d queries", len(all))
	}
	for _, q := range all {
		if _, err := evaluate(t, address, q); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// queries are the dashboard's, with its variables at "all", and the alerts'.
func queries(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	var alerts struct {
		Groups []struct{ Rules []struct{ Expr string } }
	}
	text, err := os.ReadFile("../deploy/grafana/matchyard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile("../deploy/prometheus/alerts.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &alerts); err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`\$[a-z]+`)
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			all = append(all, variable.ReplaceAllString(q.Expr, ".*"))
		}
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			all = append(all, r.Expr)
		}
	}
	return all
}

// evaluate asks Prometheus, and returns how many series it answers.
func evaluate(t *testing.T, address, query string) (series int, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/query?"+url.Values{"query": {query}}.Encode(), http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var said struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return 0, err
	}
	if said.Status != "success" {
		return 0, fmt.Errorf("%s: %s", said.Status, said.Error)
	}
	return len(said.Data.Result), nil
}
