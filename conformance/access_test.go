package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// production runs a test against a server that checks signatures, on each database.
func production(t *testing.T, f func(t *testing.T, s *server), args ...string) {
	t.Helper()
	t.Parallel()
	for _, database := range storetest.Databases() {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			url := ""
			if database == "postgres" {
				url = storetest.PostgresURL(t)
			}
			f(t, serve(t, url, args...))
		})
	}
}

// Only who has a key gets in, may do what its policy says and no more, and is told in the
// codes that clients know (wire-protocol.md 3.3).
func TestAccessKeys(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		reader := s.newKey(t, "reader", "--policy", "read-only")
		fleet := object{"Name": "f", "ComputeType": "ANYWHERE", "Locations": []any{object{"Location": "custom-nowhere"}}}
		eachClient(t, func(t *testing.T, c *client) {
			if got := c.must(t, s, "ListFleets", object{}); !c.same(got, object{"FleetIds": []any{}}) {
				t.Errorf("the root key: %s", show(got))
			}
			c.must(t, reader, "ListFleets", object{})
			for _, op := range []string{"CreateFleet", "TagResource"} {
				in := map[string]object{"CreateFleet": fleet, "TagResource": {
					"ResourceARN": "arn:aws:gamelift:us-west-2::alias/alias-1", "Tags": []any{object{"Key": "k", "Value": "v"}},
				}}[op]
				if e := c.fails(t, reader, op, in); e.Code != "AccessDeniedException" || e.Status != 400 || e.Message == "" {
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
		b := bad{header: map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": targetList}, path: "/", body: []byte("{}")}
		if code, _, status := b.send(t, s); code != "IncompleteSignatureException" || status != 400 {
			t.Errorf("a signature cut short: %d %s", status, code)
		}
		// When a key was last used is in the list, to the hour.
		listed := regexp.MustCompile(`(?m)^` + reader.key + ` +reader +read-only +(\S+ \S+) +(\S+ \S+) +active$`)
		eventually(t, "the list says when the key was last used", func() bool { return listed.MatchString(manageKeys(t, s, "list")) })
	})
}

// The roles of machines: a game server's key gets its token and nothing else, a console's
// looks and ends game sessions.
func TestRoles(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		w := newWorld(t, s)
		machine, desk := s.newKey(t, "rack", "--policy", "game-server"), s.newKey(t, "desk", "--policy", "console")
		eachClient(t, func(t *testing.T, c *client) {
			c.must(t, machine, "GetComputeAuthToken", object{"FleetId": w.fleet, "ComputeName": w.computer})
			c.must(t, machine, "DescribeCompute", object{"FleetId": w.fleet, "ComputeName": w.computer})
			c.must(t, desk, "DescribeCompute", object{"FleetId": w.fleet, "ComputeName": w.computer})
			none := object{"GameSessionId": "arn:aws:gamelift:us-west-2::gamesession/" + w.fleet + "/none", "TerminationMode": "TRIGGER_ON_PROCESS_TERMINATE"}
			for _, k := range []struct {
				as   *server
				op   string
				in   object
				code string
			}{
				{machine, "ListFleets", object{}, "AccessDeniedException"},
				{machine, "DescribeGameSessions", object{"FleetId": w.fleet}, "AccessDeniedException"},
				{desk, "GetComputeAuthToken", object{"FleetId": w.fleet, "ComputeName": w.computer}, "AccessDeniedException"},
				{desk, "DeleteFleet", object{"FleetId": w.fleet}, "AccessDeniedException"},
				{desk, "TerminateGameSession", none, "NotFoundException"},
			} {
				if c.knows != nil && c.knows[k.op] == nil {
					continue
				}
				if e := c.fails(t, k.as, k.op, k.in); e.Code != k.code {
					t.Errorf("%s: %+v, want %s", k.op, *e, k.code)
				}
			}
		}, "boto3 json", "go cbor")
	})
}

// newKey makes an access key beside the server, and is the server to whoever has it.
func (s *server) newKey(t testing.TB, args ...string) *server {
	t.Helper()
	return s.asPrinted(t, manageKeys(t, s, append([]string{"create"}, args...)...))
}

func (s *server) asPrinted(t testing.TB, made string) *server {
	t.Helper()
	id := regexp.MustCompile(`AWS_ACCESS_KEY_ID=(\S+)`).FindStringSubmatch(made)
	secret := regexp.MustCompile(`AWS_SECRET_ACCESS_KEY=(\S+)`).FindStringSubmatch(made)
	if id == nil || secret == nil {
		t.Fatalf("keys printed %q", made)
	}
	return s.as(id[1], secret[1], "")
}

// onlyPlayers is a policy that allows DescribePlayerSessions on one fleet.
func onlyPlayers(fleet string) string {
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "gamelift:DescribePlayerSessions", "Resource": "arn:aws:gamelift:*:*:fleet/%s"}]}`, fleet)
}

// A key that allows one operation on one fleet is refused by each of the 119 others, in both
// protocols; and by that operation on another fleet.
func TestAKeyForOneOperationOnOneFleet(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		mine, other := newWorld(t, s), newWorld(t, s)
		g, _ := mine.room(t, "ws", 10)
		elsewhere, _ := other.room(t, "ws", 10)
		ann, bob := mine.join(t, *g.GameSessionId, "ann"), mine.join(t, *g.GameSessionId, "bob")
		away := other.join(t, *elsewhere.GameSessionId, "ann")
		other.join(t, *elsewhere.GameSessionId, "zoe")
		watcher := s.newKey(t, "watcher", "--policy", onlyPlayers(mine.fleet))
		values := inputs{fleet: mine.fleet, game: *g.GameSessionId, player: *ann.PlayerSessionId, location: mine.location}

		eachClient(t, func(t *testing.T, c *client) {
			if testing.Short() && c.name != "boto3 json" && c.name != "go cbor" {
				t.Skip("the core subset has one client a protocol")
			}
			for i := range model.Operations {
				o := &model.Operations[i]
				if o.Name == "DescribePlayerSessions" || c.knows != nil && c.knows[o.Name] == nil {
					continue
				}
				for _, full := range []bool{false, true} {
					in := values.of(t, o.Input, full)
					// AccessDenied is what AWS answers, whether or not an operation declares Unauthorized.
					if e := c.fails(t, watcher, o.Name, in); e.Code != "AccessDeniedException" || e.Status != 400 || !strings.Contains(e.Message, "gamelift:"+o.Name) {
						t.Errorf("%s %s: %+v", o.Name, show(in), *e)
					}
				}
			}
		}, "boto3 json", "boto3 cbor", "js json", "js cbor", "go cbor")

		eachClient(t, func(t *testing.T, c *client) {
			players := func(in object) (ids []string) {
				t.Helper()
				list, _ := c.must(t, watcher, "DescribePlayerSessions", in)["PlayerSessions"].([]any)
				for _, p := range list {
					ids = append(ids, p.(object)["PlayerSessionId"].(string))
				}
				slices.Sort(ids)
				return ids
			}
			both := []string{*ann.PlayerSessionId, *bob.PlayerSessionId}
			slices.Sort(both)
			for _, k := range []struct {
				in   object
				want []string
			}{
				{object{"GameSessionId": *g.GameSessionId}, both},
				{object{"PlayerSessionId": *bob.PlayerSessionId}, []string{*bob.PlayerSessionId}},
				{object{"PlayerId": "ann"}, []string{*ann.PlayerSessionId}}, // who is elsewhere too
				{object{"PlayerId": "zoe"}, nil},
			} {
				if got := players(k.in); !slices.Equal(got, k.want) {
					t.Errorf("%s: %v, want %v", show(k.in), got, k.want)
				}
			}
			for _, in := range []object{{"GameSessionId": *elsewhere.GameSessionId}, {"PlayerSessionId": *away.PlayerSessionId}} {
				if e := c.fails(t, watcher, "DescribePlayerSessions", in); e.Code != "AccessDeniedException" || !strings.Contains(e.Message, other.fleet) {
					t.Errorf("%s: %+v", show(in), *e)
				}
			}
			if c.list != nil { // a page may be empty, and is not the last for that
				l := c.all(t, watcher, "DescribePlayerSessions", object{"PlayerId": "ann"}, paging{PageSize: new(1)})
				if len(l.items) != 1 || l.items[0].(object)["PlayerSessionId"] != *ann.PlayerSessionId {
					t.Errorf("ann's pages: %s", show(l.items))
				}
			}
		}, "boto3 json", "boto3 cbor", "js json", "js cbor", "go cbor", "oldgo json")

		// What was refused was not done.
		left, err := mine.api.ListFleets(t.Context(), &gamelift.ListFleetsInput{})
		check(t, err)
		if mine.describe(t, *g.GameSessionId).Status != "ACTIVE" || len(left.FleetIds) != 2 {
			t.Error("what was refused was done all the same")
		}
	})
}

// inputs are the values that the members of sensible requests have.
type inputs struct{ fleet, game, player, location string }

// of makes an input that satisfies its shape, with the members that it needs or with all.
func (v inputs) of(t testing.TB, shape *model.Shape, full bool) object {
	t.Helper()
	in := object{}
	for _, m := range shape.Members {
		if m.Required || full && m.Name != "LinuxCapabilities" { // which is newer than some of the clients
			in[m.Name] = v.value(t, m.Name, m.Shape, full)
		}
	}
	return in
}

func (v inputs) value(t testing.TB, name string, s *model.Shape, full bool) any {
	t.Helper()
	switch s.Kind {
	case model.Structure:
		return v.of(t, s, full)
	case model.List:
		list := []any{}
		for range max(int(s.Min), 1) {
			list = append(list, v.value(t, strings.TrimSuffix(name, "s"), s.Element, full))
		}
		return list
	case model.Map:
		return object{v.value(t, name, s.Key, full).(string): v.value(t, name, s.Element, full)}
	case model.Integer, model.Long:
		return int64(max(s.Min, 1))
	case model.Float, model.Double:
		return max(s.Min, 1.5)
	case model.Boolean:
		return true
	case model.Timestamp:
		return object{"$ms": time.Now().UnixMilli()}
	case model.Blob:
		return object{"$bytes": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}
	}
	if s.Enum != nil {
		return s.Enum[0]
	}
	const id = "00000000-0000-4000-8000-000000000000"
	for _, text := range []string{
		map[string]string{
			"FleetId": v.fleet, "GameSessionId": v.game, "GameSessionArn": v.game, "PlayerSessionId": v.player, "Location": v.location,
			"ResourceARN": "arn:aws:gamelift:us-west-2:123456789012:fleet/" + v.fleet,
		}[name],
		"ann", "alias-" + id, "build-" + id, "script-" + id, "custom-home", "arn:aws:iam::123456789012:role/r", "192.0.2.7", "192.0.2.0/24", "1.2.3", "1.5", "50", "subnet-0123456789abcdef",
		"arn:aws:gamelift:us-west-2:123456789012:gamesessionqueue/q", "5.2.0", "/data/files", "i-0123456789abcdef0", "123456789012", id, strings.Repeat("a", max(int(s.Min), 1)),
	} {
		if text != "" && len(text) >= int(s.Min) && (!s.HasMax || len(text) <= int(s.Max)) && (s.Pattern == nil || s.Pattern.Match(text)) {
			return text
		}
	}
	t.Fatalf("no value for %s (%s, pattern %v)", name, s.Name, s.Pattern)
	return nil
}

// Tools ask STS who they are before they do anything else.
func TestWhoAmI(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		ann := s.newKey(t, "ann", "--policy", "ListFleets")
		const arn = "arn:aws:iam::123456789012:user/ann"
		api := func(as *server) *sts.Client {
			return sts.New(sts.Options{Region: "us-west-2", BaseEndpoint: &as.url, Credentials: credentials.NewStaticCredentialsProvider(as.key, as.secret, ""), Retryer: aws.NopRetryer{}})
		}
		who, err := api(ann).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		check(t, err)
		if *who.Arn != arn || *who.Account != "123456789012" || *who.UserId == "" {
			t.Errorf("the Go SDK: %v %v %v", *who.Arn, *who.Account, *who.UserId)
		}
		t.Run("boto3", func(t *testing.T) {
			d, err := botoDriver()
			if err != nil {
				missing(t, "boto3", err)
			}
			ask := func(as *server, op string, in object) reply {
				return d.ask(t, request{Do: "call", Service: "sts", Protocol: "json", Endpoint: as.url, Keys: as.keys(), Op: op, Params: in})
			}
			if a := ask(ann, "GetCallerIdentity", nil); a.Error != nil || a.Result["Arn"] != arn || a.Result["UserId"] != *who.UserId || a.Result["Account"] != "123456789012" {
				t.Errorf("boto3: %+v %v", a.Result, a.Error)
			}
			for _, k := range []struct {
				as   *server
				code string
			}{{ann.as(ann.key, "another", ""), "SignatureDoesNotMatch"}, {ann.as("AKIANOBODY", "x", ""), "InvalidClientTokenId"}} {
				if a := ask(k.as, "GetCallerIdentity", nil); a.Error == nil || a.Error.Code != k.code || a.Error.Status != 403 {
					t.Errorf("%s: %+v", k.code, a.Error)
				}
			}
			if a := ask(ann, "GetSessionToken", nil); a.Error == nil || a.Error.Code != "InvalidAction" || a.Error.Status != 400 {
				t.Errorf("another operation: %+v", a.Error)
			}
		})
		t.Run("cli", func(t *testing.T) {
			program, err := awsCLI()
			if err != nil {
				missing(t, "the AWS CLI", err)
			}
			cmd := exec.CommandContext(t.Context(), program, "sts", "get-caller-identity", "--output", "json")
			cmd.Env = append(quietEnvironment(), "AWS_ENDPOINT_URL_STS="+s.url, "AWS_ACCESS_KEY_ID="+ann.key, "AWS_SECRET_ACCESS_KEY="+ann.secret)
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			check(t, err)
			var got object
			check(t, json.Unmarshal(out, &got))
			if got["Arn"] != arn {
				t.Errorf("the AWS CLI: %s", out)
			}
		})
	})
}

// dev takes any credentials, and says so to whoever asks.
func TestWhoAmIInDevelopment(t *testing.T) {
	t.Parallel()
	s := dev(t, "sqlite")
	who, err := sts.New(sts.Options{Region: "us-west-2", BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")}).
		GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	check(t, err)
	if *who.Arn != "arn:aws:iam::123456789012:user/any" {
		t.Errorf("%s", *who.Arn)
	}
}

// A key is refused by every node within a second of the end of `keys revoke`, which is
// another process than the servers; a policy, by a new key and the end of the old, likewise.
func TestRevokedKeysAreRefusedEverywhereAtOnce(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		nodes := []*server{s}
		if strings.HasPrefix(s.store, "postgres") {
			second := serve(t, s.store)
			nodes = append(nodes, second.as(s.key, s.secret, ""))
		}
		ends := func(what string, key *server, end func()) {
			t.Helper()
			asOn := func(node *server) *server { return node.as(key.key, key.secret, "") }
			for _, node := range nodes {
				_, err := sdk(asOn(node)).ListFleets(t.Context(), &gamelift.ListFleetsInput{})
				check(t, err)
			}
			// Callers that never stop: the nodes know the key as well as they ever do.
			var all sync.WaitGroup
			var over atomic.Int64 // nanoseconds since the epoch
			last := make([]time.Time, len(nodes))
			seen := make([]bool, len(nodes))
			stop, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for i, node := range nodes {
				all.Go(func() {
					for stop.Err() == nil {
						begun := time.Now()
						_, e := goCall(t, asOn(node), "ListFleets", object{})
						switch {
						case e == nil:
							last[i] = begun
						case e != nil && over.Load() != 0 && (e.Code == "UnrecognizedClientException" || e.Code == "ExpiredTokenException"):
							seen[i] = true
							return
						case e != nil && e.Code != "UnrecognizedClientException" && e.Code != "ExpiredTokenException":
							t.Errorf("%s: %+v", what, *e)
							return
						}
					}
				})
			}
			end()
			returned := time.Now()
			over.Store(returned.UnixNano())
			all.Wait()
			for i := range nodes {
				// The last request that was let in, by when it was sent: how busy the machine is has
				// no part in that.
				after := max(last[i].Sub(returned), 0)
				t.Logf("%s: node %d let a request in that was sent %v after the end of the command", what, i+1, after)
				if !seen[i] || after > time.Second {
					t.Errorf("%s: node %d knew the key for %v", what, i+1, after)
				}
			}
		}
		key := s.newKey(t, "short", "--policy", "full")
		ends("revoked", key, func() { manageKeys(t, s, "revoke", key.key) })

		old := s.newKey(t, "turns", "--policy", onlyPlayers("fleet-1"))
		list := s.newKey(t, "turns", "--policy", "ListFleets")
		fresh := s.asPrinted(t, manageKeys(t, s, "rotate", list.key, "--overlap", "1h"))
		for _, node := range nodes {
			for _, k := range []*server{list, fresh} { // both, while they overlap
				_, err := sdk(node.as(k.key, k.secret, "")).ListFleets(t.Context(), &gamelift.ListFleetsInput{})
				check(t, err)
			}
			if _, e := goCall(t, node.as(old.key, old.secret, ""), "ListFleets", object{}); e == nil || e.Code != "AccessDeniedException" {
				t.Errorf("a key with another policy: %+v", e)
			}
		}
		ends("rotated without overlap", fresh, func() { manageKeys(t, s, "rotate", fresh.key, "--overlap", "0s") })
	})
}

// A console's visit with a key ends with the key.
func TestVisitsEndWithTheirKey(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		key := s.newKey(t, "desk", "--policy", "console")
		v := visitor{t: t, s: s}
		v.token = v.ask("GET", "visit", nil)["token"].(string)
		in := v.ask("POST", "signin", object{"key": key.key, "secret": key.secret})
		v.token = in["token"].(string)
		if got := v.ask("GET", "visit", nil); got["key"] != key.key {
			t.Fatalf("signed in: %v", got)
		}
		end := object{"id": "arn:aws:gamelift:us-west-2::gamesession/fleet-1/none", "mode": "TRIGGER_ON_PROCESS_TERMINATE"}
		if got := v.ask("POST", "game/end", end); got["code"] != "NotFoundException" {
			t.Errorf("allowed to end what is not there: %v", got)
		}
		manageKeys(t, s, "revoke", key.key)
		returned := time.Now()
		eventually(t, "the visit is over", func() bool { return v.ask("POST", "game/end", end)["code"] == "SignInNeeded" })
		t.Logf("the visit was over %v after the end of the command", time.Since(returned))
		if got := v.ask("GET", "visit", nil); got["key"] != nil {
			t.Errorf("still signed in: %v", got)
		}
	})
}

// visitor is a browser at the console.
type visitor struct {
	t     testing.TB
	s     *server
	token string
	jar   []*http.Cookie
}

func (v *visitor) ask(method, path string, body object) object {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.s.admin+"/api/"+path, strings.NewReader(show(body)))
	check(v.t, err)
	r.Header.Set("X-Matchyard-Token", v.token)
	for _, c := range v.jar {
		r.AddCookie(c)
	}
	answer, err := httpClient.Do(r)
	check(v.t, err)
	defer func() { _ = answer.Body.Close() }()
	if cookies := answer.Cookies(); len(cookies) > 0 {
		v.jar = cookies
	}
	var got object
	check(v.t, json.NewDecoder(bufio.NewReader(answer.Body)).Decode(&got))
	return got
}

// Who calls too fast is told to slow down in the words that SDKs know: they wait and try
// again by themselves, and all calls succeed in the end. Another key is not slowed.
func TestWhoCallsTooFast(t *testing.T) {
	production(t, func(t *testing.T, s *server) {
		fast, calm := s.newKey(t, "fast", "--policy", "read-only"), s.newKey(t, "calm", "--policy", "read-only")
		throttled := 0
		var e *callError
		for range 200 {
			if _, e = goCall(t, fast, "ListFleets", object{}); e != nil {
				throttled++
				break
			}
		}
		if throttled == 0 || e.Code != "ThrottlingException" || e.Status != 400 || e.Message != "Rate exceeded" {
			t.Fatalf("200 calls at once: %d refused, %+v", throttled, e)
		}
		if _, e := goCall(t, calm, "ListFleets", object{}); e != nil {
			t.Errorf("another key: %+v", *e)
		}
		// The SDKs' own patience.
		var calls atomic.Int64
		patient := gamelift.New(gamelift.Options{
			Region: "us-west-2", BaseEndpoint: &s.url, Credentials: credentials.NewStaticCredentialsProvider(fast.key, fast.secret, ""),
			HTTPClient: counting{wholeAnswers{httpClient}, &calls}, RetryMaxAttempts: 10,
		})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := patient.ListFleets(t.Context(), &gamelift.ListFleetsInput{}); err != nil {
					t.Errorf("a patient caller: %v", err)
				}
			})
		}
		all.Wait()
		t.Logf("8 calls of the Go SDK took %d requests", calls.Load())
		if calls.Load() <= 8 {
			t.Errorf("8 calls at once took %d requests: none was repeated", calls.Load())
		}
		d, err := botoDriver()
		if err != nil {
			missing(t, "boto3", err)
		}
		for _, protocol := range []string{"json", "cbor"} {
			if protocol == "cbor" && !d.CBOR {
				continue
			}
			for range 2 {
				if a := d.ask(t, request{Do: "call", Endpoint: s.url, Keys: fast.keys(), Protocol: protocol, Op: "ListFleets", Attempts: 10}); a.Error != nil {
					t.Errorf("boto3 %s: %+v", protocol, *a.Error)
				}
			}
		}
	}, "--rate-limit", "5")
}

// counting counts the requests that are sent.
type counting struct {
	wholeAnswers

	n *atomic.Int64
}

func (c counting) Do(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.wholeAnswers.Do(r)
}

// manageKeys runs `matchyard keys` beside the server.
func manageKeys(t testing.TB, s *server, args ...string) string {
	t.Helper()
	return manage(t, s, append([]string{"keys"}, args...)...)
}

// manage runs a command of the program beside the server.
func manage(t testing.TB, s *server, args ...string) string {
	t.Helper()
	args = append(args, "--data", s.data)
	if s.store != "" {
		args = append(args, "--store", s.store)
	}
	cmd := exec.CommandContext(t.Context(), matchyard, args...)
	cmd.Env = quietEnvironment(s.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.String())
	}
	return string(out)
}
