package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// TestLooking goes through status, ps, logs and doctor on a server with a hostile fleet and
// more locations than a page has.
func TestLooking(t *testing.T) {
	r := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ephemeral", "--beacon", "off", "--agent", "off", "--anywhere-fleets", "200")
	admin, url := r.find(` admin=http://(127\.0\.0\.1:\d+) `), r.find(`^ready (\S+)`)
	env := []string{"AWS_ENDPOINT_URL_GAMELIFT=" + url}
	c := client(url, "any", "thing")
	if _, err := c.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
		t.Fatal(err)
	}
	const hostile = "\x1b[2J\x1b]0;pwned\x07\u202e"
	fleets := 120
	for i := range fleets {
		name := fmt.Sprintf("fleet-%03d", i)
		if i == 7 {
			name = hostile
		}
		if _, err := c.CreateFleet(t.Context(), &gamelift.CreateFleetInput{Name: &name, ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new("custom-home")}}}); err != nil {
			t.Fatal(err)
		}
	}
	ok := func(args ...string) string {
		t.Helper()
		code, out, errs := do(t, env, args...)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
		if strings.ContainsAny(out, "\x1b\x07\u202e") {
			t.Errorf("%v lets a terminal's codes through: %q", args, out)
		}
		return out
	}
	if out := ok("status", "--admin", admin); !strings.Contains(out, "fleets      120, 0 computes") || !strings.Contains(out, "nodes       1 alive of 1") || strings.Count(out, "\n") > 40 {
		t.Errorf("status:\n%s", out)
	}
	var s serverStatus
	if err := json.Unmarshal([]byte(ok("status", "-o", "json", "--admin", "http://"+admin)), &s); err != nil || len(s.Fleets) != fleets || s.Database != "sqlite" {
		t.Errorf("status as JSON: %v %d %s", err, len(s.Fleets), s.Database)
	}
	if out := ok("ps", "fleets"); strings.Count(out, "\n") != fleets+1 || !strings.Contains(out, `"\x1b[2J\x1b]0;pwned\a\u202e"  fleet-`) {
		t.Errorf("%d lines of ps fleets:\n%s", strings.Count(out, "\n"), out)
	}
	if out := ok("ps", "fleets", "--fleet", "fleet-003"); strings.Count(out, "\n") != 2 {
		t.Errorf("one fleet:\n%s", out)
	}
	if out := ok("ps", "fleets", "--limit", "5"); strings.Count(out, "\n") != 6 {
		t.Errorf("five fleets:\n%s", out)
	}
	var items []fleetItem
	if err := json.Unmarshal([]byte(ok("ps", "fleets", "-o", "json")), &items); err != nil || len(items) != fleets || *items[7].Name != hostile || items[7].Utilization == nil {
		t.Errorf("ps fleets as JSON: %v, %d", err, len(items))
	}
	for _, what := range []string{"sessions", "players"} {
		if out := ok("ps", what, "--fleet", "fleet-003"); strings.Count(out, "\n") != 1 {
			t.Errorf("%s of a fleet without any:\n%s", what, out)
		}
		if out := ok("ps", what, "--fleet", "fleet-003", "-o", "json"); out != "[]\n" {
			t.Errorf("%s of a fleet without any: %s", what, out)
		}
	}
	if code, _, errs := do(t, env, "ps", "--fleet", "x"+hostile); code != 1 || strings.Contains(errs, "\x1b") || !strings.Contains(errs, "there is no fleet") {
		t.Errorf("a fleet that is not there: %d %q", code, errs)
	}
	if code, _, errs := do(t, env, "logs", "arn:aws:gamelift:us-west-2::gamesession/fleet-x/y"); code != 1 || errs == "" {
		t.Errorf("logs of nothing: %d %q", code, errs)
	}
	if code, out, _ := do(t, env, "doctor", "--fleet", "fleet-003"); code != 1 || !strings.Contains(out, "is ACTIVE (ANYWHERE)") || !strings.Contains(out, "register-compute") {
		t.Errorf("doctor of a fleet without computes: %d\n%s", code, out)
	}

	// ps -w draws again, and ends well.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	watch := command(ctx, env, "ps", "fleets", "-w", "--every", "50ms", "--limit", "1")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	for b := make([]byte, 4096); strings.Count(string(seen), "\x1b[H\x1b[2J") < 3; {
		n, err := out.Read(b)
		if seen = append(seen, b[:n]...); err != nil {
			t.Fatalf("%v after %q", err, seen)
		}
	}
	_ = watch.Process.Signal(syscall.SIGINT)
	_ = watch.Wait()
	if code := watch.ProcessState.ExitCode(); code != 0 {
		t.Errorf("ps -w ended with %d", code)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}
	if code, out, _ := do(t, env, "doctor"); code != 1 || !strings.Contains(out, "matchyard dev") {
		t.Errorf("doctor without a server: %d\n%s", code, out)
	}
}

// TestDoctorOverTLS has the server's own certificate trusted, and not.
func TestDoctorOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, nil, "dev", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "off", "--beacon", "off")
	url := strings.Replace(s.find(`ready (\S+)`), "http:", "https:", 1)
	env := []string{"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_REGION=us-west-2"}
	code, out, errs := do(t, append(env, "SSL_CERT_FILE="+dir+"/tls-cert.pem"), "doctor", "--server", url)
	if code != 0 || !strings.Contains(out, url+" answers") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	code, out, _ = do(t, env, "doctor", "--server", url)
	if code != 1 || !strings.Contains(out, "set SSL_CERT_FILE to the server's tls-cert.pem") {
		t.Errorf("a certificate that nobody trusts: exit code %d\n%s", code, out)
	}
	s.stop()
}
