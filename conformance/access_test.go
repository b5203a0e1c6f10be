package conformance

import (
	"os/exec"
	"regexp"
	"testing"

	"github.com/matchyard/matchyard/internal/store/storetest"
)

// Only who has a key gets in, may do what its policy says and no more, and is told in the
// codes that clients know (wire-protocol.md 3.3).
func TestAccessKeys(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			url := ""
			if database == "postgres" {
				url = storetest.PostgresURL(t)
			}
			s := serve(t, url)
			made := manageKeys(t, s, "create", "reader", "--policy", "read-only")
			id := regexp.MustCompile(`AWS_ACCESS_KEY_ID=(\S+)`).FindStringSubmatch(made)
			secret := regexp.MustCompile(`AWS_SECRET_ACCESS_KEY=(\S+)`).FindStringSubmatch(made)
			if id == nil || secret == nil {
				t.Fatalf("keys create printed %q", made)
			}
			reader := s.as(id[1], secret[1], "")
			fleet := object{"Name": "f", "ComputeType": "ANYWHERE", "Locations": []any{object{"Location": "custom-nowhere"}}}
			eachClient(t, func(t *testing.T, c *client) {
				if got := c.must(t, s, "ListFleets", object{}); !c.same(got, object{"FleetIds": []any{}}) {
					t.Errorf("the root key: %s", show(got))
				}
				c.must(t, reader, "ListFleets", object{})
				// An operation that declares UnauthorizedException says so, another
				// AccessDeniedException.
				for _, op := range []string{"CreateFleet", "TagResource"} {
					in := map[string]object{"CreateFleet": fleet, "TagResource": {
						"ResourceARN": "arn:aws:gamelift:us-west-2::alias/alias-1", "Tags": []any{object{"Key": "k", "Value": "v"}},
					}}[op]
					if e := c.fails(t, reader, op, in); e.Code != "UnauthorizedException" && e.Code != "AccessDeniedException" || e.Status != 400 || e.Message == "" {
						t.Errorf("%s with a key for reading: %+v", op, *e)
					}
				}
				for _, k := range []struct {
					as   *server
					code string
				}{
					{s.as(s.key, "another secret", ""), "InvalidSignatureException"},
					{s.as("AKIDNOBODYNOBODY", s.secret, ""), "UnrecognizedClientException"},
					{s.as(s.key, s.secret, "no such token"), "UnrecognizedClientException"},
				} {
					if e := c.fails(t, k.as, "ListFleets", object{}); e.Code != k.code || e.Message == "" || e.Status != 400 {
						t.Errorf("%s: got %+v", k.code, *e)
					}
				}
			})
			if b := (bad{header: map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": targetList}, path: "/", body: []byte("{}")}); true {
				if code, _, status := b.send(t, s); code != "IncompleteSignatureException" || status != 400 {
					t.Errorf("a signature cut short: %d %s", status, code)
				}
			}

			manageKeys(t, s, "revoke", id[1])
			eventually(t, "the revoked key is refused", func() bool {
				_, e := goCall(t, reader, "ListFleets", object{})
				return e != nil && e.Code == "UnrecognizedClientException"
			})
		})
	}
}

// manageKeys runs `matchyard keys` beside the server.
func manageKeys(t *testing.T, s *server, args ...string) string {
	t.Helper()
	args = append(append([]string{"keys"}, args...), "--data", s.data)
	if s.store != "" {
		args = append(args, "--store", s.store)
	}
	cmd := exec.CommandContext(t.Context(), matchyard, args...)
	cmd.Env = quietEnvironment(s.env...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return string(out)
}
