package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/console"
	"github.com/matchyard/matchyard/internal/event"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/matchmaking"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/scaling"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const (
	place   = "custom-home"
	hostile = `<img src=x onerror="alert(1)">` + "\u202e'; --"
)

// desk is a console over real rooms on an empty database, and a browser that looks at it.
type desk struct {
	*console.Server
	t      testing.TB
	clock  *storetest.Clock
	jar    []*http.Cookie
	token  string
	fleet  string
	dialed int
	sample scaling.Sample // that managed fleets have
}

func each(t *testing.T, f func(d *desk)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		d := furnish(t, db, clock)
		f(d)
	})
}

func furnish(t testing.TB, db *store.DB, clock *storetest.Clock) *desk {
	t.Helper()
	c := &console.Server{DB: db, Home: home, Dev: true, Version: "test", Endpoint: func() string { return "http://127.0.0.1:9170" }}
	c.Placements = &placement.Service{DB: db, Home: home}
	c.Fleets = &fleet.Service{DB: db, Home: home}
	tags := &tag.Service{DB: db, Exists: func(*store.Tx, string, string) (bool, error) { return true, nil }}
	c.Fleets.Tags = tags
	endpoint := func() string { return "ws://127.0.0.1:9170" }
	c.Computes = &compute.Service{DB: db, Home: home, Fleets: c.Fleets, SDKEndpoint: endpoint, AgentEndpoint: endpoint}
	c.Sessions = &session.Service{
		DB: db, Home: home, Fleets: c.Fleets, Computes: c.Computes, Activated: c.Placements.Activated, Over: c.Placements.Over,
	}
	c.Computes.Ended = c.Sessions.ProcessEnded
	c.Events = &event.Log{DB: db, Home: home}
	c.Placements.Fleets, c.Placements.Computes, c.Placements.Sessions, c.Placements.Tags, c.Placements.Events = c.Fleets, c.Computes, c.Sessions, tags, c.Events
	c.Matchmaking = &matchmaking.Service{
		DB: db, Home: home, Tags: tags, Fleets: c.Fleets, Computes: c.Computes, Sessions: c.Sessions, Placements: c.Placements, Events: c.Events,
	}
	d := &desk{Server: c, t: t, clock: clock}
	c.Fleets.Builds = &build.Service{DB: db, Home: home, Tags: tags}
	c.Scaling = &scaling.Service{DB: db, Home: home, Fleets: c.Fleets, Measure: func(*store.Tx, fleet.Fleet) (map[arn.Location]scaling.Sample, error) {
		return map[arn.Location]scaling.Sample{arn.Location(home.Region): d.sample}, nil
	}}
	return d
}

// managed is a managed fleet that is ACTIVE, with two policies.
func (d *desk) managed() string {
	d.t.Helper()
	ctx := d.t.Context()
	var b string
	must(d.t, d.DB.Write(ctx, func(tx *store.Tx) error {
		key := tx.NewKey()
		b = "build-" + key.UUID(7)
		_, err := tx.Exec(`INSERT INTO build (key, tail, name, version, status, os, sdk, blob, size, work, created_at) VALUES ($1, 7, $2, '1.4.2', 'READY', 'AMAZON_LINUX_2023', '5.5.0', 'x', 1, 0, $3)`, key, hostile, tx.NowMs())
		return err
	}))
	out, err := d.Fleets.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), BuildId: &b, EC2InstanceType: types.EC2InstanceTypeC5Large,
		RuntimeConfiguration: &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(int32(4))}}},
	})
	must(d.t, err)
	id := *out.FleetAttributes.FleetId
	must(d.t, d.DB.Write(ctx, func(tx *store.Tx) error {
		return d.Fleets.AdvanceTx(tx, arn.FleetID(id), arn.Location(home.Region), types.FleetStatusActive)
	}))
	_, err = d.Fleets.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: &id, MaxSize: new(int32(2))})
	must(d.t, err)
	_, err = d.Scaling.PutScalingPolicy(ctx, &gamelift.PutScalingPolicyInput{
		FleetId: &id, Name: new("buffer"), MetricName: types.MetricNamePercentAvailableGameSessions, PolicyType: types.PolicyTypeTargetBased,
		TargetConfiguration: &types.TargetConfiguration{TargetValue: new(30.0)},
	})
	must(d.t, err)
	_, err = d.Scaling.PutScalingPolicy(ctx, &gamelift.PutScalingPolicyInput{
		FleetId: &id, Name: new("rush"), MetricName: types.MetricNameQueueDepth, PolicyType: types.PolicyTypeRuleBased, Threshold: new(2.0), EvaluationPeriods: new(int32(1)),
		ComparisonOperator: types.ComparisonOperatorTypeGreaterThanThreshold, ScalingAdjustment: new(int32(1)), ScalingAdjustmentType: types.ScalingAdjustmentTypeChangeInCapacity,
	})
	must(d.t, err)
	return id
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settle makes a fleet with a compute.
func (d *desk) settle() {
	d.t.Helper()
	ctx := d.t.Context()
	_, err := d.Fleets.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new(place)})
	must(d.t, err)
	out, err := d.Fleets.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new(hostile), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new(place)}},
	})
	must(d.t, err)
	d.fleet = *out.FleetAttributes.FleetId
	_, err = d.Computes.RegisterCompute(ctx, &gamelift.RegisterComputeInput{FleetId: &d.fleet, ComputeName: new("rack"), IpAddress: new("10.0.0.1"), Location: new(place)})
	must(d.t, err)
}

// process is a server process that is ready for a game session.
func (d *desk) process() store.Key {
	d.t.Helper()
	ctx := d.t.Context()
	d.dialed++
	p, err := d.Computes.Connect(ctx, compute.Dial{
		ProcessID: fmt.Sprintf("pid-%d", d.dialed), Compute: "rack", Fleet: arn.FleetID(d.fleet), SDKVersion: "5.5.0", SDKLanguage: "Go",
		IdempotencyToken: fmt.Sprintf("once-%d", d.dialed), Trusted: true,
	})
	must(d.t, err)
	must(d.t, d.Computes.Ready(ctx, p.Key, compute.Ready{Port: 7000 + int32(d.dialed%1000)}))
	must(d.t, d.Computes.Health(ctx, p.Key, true))
	return p.Key
}

// game is an ACTIVE game session with players.
func (d *desk) game(name string, players ...string) string {
	d.t.Helper()
	ctx := d.t.Context()
	p := d.process()
	out, err := d.Sessions.CreateGameSession(ctx, &gamelift.CreateGameSessionInput{
		FleetId: &d.fleet, Location: new(place), MaximumPlayerSessionCount: new(int32(10)), Name: &name,
		GameProperties: []types.GameProperty{{Key: new("map"), Value: &name}},
	})
	must(d.t, err)
	id := *out.GameSession.GameSessionId
	must(d.t, d.Sessions.Activate(ctx, p, id))
	for _, player := range players {
		s, err := d.Sessions.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &id, PlayerId: &player})
		must(d.t, err)
		d.clock.Advance(1e9)
		must(d.t, d.Sessions.AcceptPlayer(ctx, p, id, *s.PlayerSession.PlayerSessionId))
	}
	return id
}

type object = map[string]any

// send makes a request as the page does.
func (d *desk) send(method, path string, body any, change func(*http.Request)) *http.Response {
	d.t.Helper()
	text, err := json.Marshal(body)
	must(d.t, err)
	r := httptest.NewRequestWithContext(d.t.Context(), method, "http://127.0.0.1:9171"+path, bytes.NewReader(text))
	r.Header.Set("X-Matchyard-Token", d.token)
	for _, c := range d.jar {
		r.AddCookie(c)
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	answer := w.Result()
	d.t.Cleanup(func() { _ = answer.Body.Close() })
	if cookies := answer.Cookies(); len(cookies) > 0 {
		d.jar = cookies
	}
	return answer
}

// read is the JSON of a GET, which must have that status.
func (d *desk) read(status int, path string, query ...string) object {
	d.t.Helper()
	q := url.Values{}
	for i := 0; i < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	return d.decode(status, d.send(http.MethodGet, "/api/"+path+"?"+q.Encode(), nil, nil))
}

// write is the JSON of a POST, which must have that status.
func (d *desk) write(status int, path string, body any) object {
	d.t.Helper()
	return d.decode(status, d.send(http.MethodPost, "/api/"+path, body, nil))
}

func (d *desk) decode(status int, r *http.Response) object {
	d.t.Helper()
	var v object
	err := json.NewDecoder(r.Body).Decode(&v)
	if r.StatusCode != status || err != nil {
		d.t.Fatalf("got %d %v (%v), want %d", r.StatusCode, v, err, status)
	}
	return v
}

// come opens the page: it learns the token.
func (d *desk) come() object {
	d.t.Helper()
	v := d.read(http.StatusOK, "visit")
	d.token = v["token"].(string)
	return v
}

// list is a member that is a list of objects.
func list(v object, name string) (objects []object) {
	all, _ := v[name].([]any)
	for _, o := range all {
		objects = append(objects, o.(map[string]any))
	}
	return objects
}

// lock makes a server in production of it, with keys in the access room.
func (d *desk) lock() *access.Service {
	keys := &access.Service{DB: d.DB, Operations: []string{"TerminateGameSession", "DescribeGameSessions"}}
	keys.Audit = &access.Audit{DB: d.DB}
	d.Dev, d.Keys, d.Audit = false, keys, keys.Audit
	d.Authorize = func(ctx context.Context, c console.Caller, operation string, _ any) error {
		k, err := keys.Lookup(ctx, c.Key)
		if err != nil {
			return &apierr.Error{Code: "UnrecognizedClientException", Status: http.StatusBadRequest, Message: "revoked"}
		}
		if !k.Policy.Allows(access.Request{Operation: operation}) {
			return &apierr.Error{Code: "AccessDeniedException", Status: http.StatusBadRequest, Message: "not allowed"}
		}
		return nil
	}
	return keys
}

func (d *desk) signIn(status int, key, secret string) object {
	d.t.Helper()
	v := d.write(status, "signin", object{"key": key, "secret": secret})
	if status == http.StatusOK {
		d.token = v["token"].(string)
	}
	return v
}

// has tells whether a list of objects has one whose member is that text.
func has(objects []object, member, text string) bool {
	for _, o := range objects {
		if s, ok := o[member].(string); ok && strings.Contains(s, text) {
			return true
		}
	}
	return false
}
