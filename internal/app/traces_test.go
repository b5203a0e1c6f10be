package app_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/testkit"
	"github.com/matchyard/matchyard/internal/trace/tracetest"
	"github.com/matchyard/matchyard/internal/webhook"
)

const (
	callersTrace  = "0af7651916cd43dd8448eb211c80319c"
	callersParent = "00-" + callersTrace + "-b7ad6b7169203331-01"
	callersAWS    = "Root=1-67891233-abcdef012345678912345678;Sampled=1"
)

// A placement, from the request that wishes for it to the event that tells of it, as an
// OpenTelemetry collector sees it.
func TestTracesOfAPlacement(t *testing.T) {
	for _, database := range []string{"sqlite", "postgres"} {
		for _, protocol := range []string{"cbor", "json"} {
			t.Run(database+"/"+protocol, func(t *testing.T) {
				c := tracetest.Start(t)
				told := make(chan string, 100)
				receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					told <- r.Header.Get("Traceparent")
				}))
				t.Cleanup(receiver.Close)
				o := testkit.Options{JSON: protocol == "json", Key: "AKIDOFANN", Configure: func(conf *config.Config) {
					conf.Traces = c.URL
					conf.Sinks = []webhook.Sink{{Name: "hook", Kind: webhook.Webhook, URL: receiver.URL, Secret: "sixteen bytes and more", AllowPrivate: true}}
				}}
				if database == "postgres" {
					o.Store = storetest.PostgresURL(t)
				}
				s := testkit.Start(t, o)
				game := place(t, s, protocol == "json")
				select {
				case parent := <-told:
					if len(parent) != len(callersParent) || !strings.HasSuffix(parent, "-01") {
						t.Errorf("the sink is told the trace %q", parent)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("no event arrived")
				}
				s.Stop() // which sends what is left
				checkRequests(t, c, protocol, map[string]string{"sqlite": "sqlite", "postgres": "postgresql"}[database])
				checkBackground(t, c, game)
			})
		}
	}
}

// place has a placement fulfilled, and two requests made in a trace of the caller's.
func place(t *testing.T, s *testkit.Server, speakJSON bool) (game string) {
	t.Helper()
	ctx := t.Context()
	fleet, g := hosted(t, s)
	must[gamelift.CreateGameSessionQueueOutput](t)(s.Client.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
		Name: new("arena"), Destinations: []types.GameSessionQueueDestination{{DestinationArn: new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + fleet)}},
	}))
	must[gamelift.StartGameSessionPlacementOutput](t)(s.Client.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
		PlacementId: new("match-1"), GameSessionQueueName: new("arena"), MaximumPlayerSessionCount: new(int32(4)),
	}))
	game, _ = g.Push("CreateGameSession")["GameSessionId"].(string)
	g.Call("ActivateGameSession", testkit.Message{"GameSessionId": game})
	placed(t, s, "match-1", func(p *types.GameSessionPlacement) bool { return p.Status == types.GameSessionPlacementStateFulfilled })

	// This one waits until a process is free, and then a pass places it.
	must[gamelift.StartGameSessionPlacementOutput](t)(s.Client.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
		PlacementId: new("match-2"), GameSessionQueueName: new("arena"), MaximumPlayerSessionCount: new(int32(4)),
	}))
	next := s.Dial(fleet, "host-1", "process-2", "")
	next.Ready(7778)
	next.Push("CreateGameSession")

	in := s.NewClient(speakJSON, func(o *gamelift.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("Traceparent", callersParent), smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", callersAWS))
	})
	must[gamelift.CreatePlayerSessionOutput](t)(in.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &game, PlayerId: new("ann")}))
	_, err := in.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: new("arn:aws:gamelift:us-west-2::gamesession/fleet-1/custom-home/none"), PlayerId: new("ann")})
	refused(t, err, "NotFoundException")
	return game
}

// checkRequests looks at the requests of a caller who has a trace.
func checkRequests(t *testing.T, c *tracetest.Collector, protocol, database string) {
	t.Helper()
	const name = "gamelift.CreatePlayerSession"
	good := c.Wait("a request", func(s tracetest.Span) bool { return s.Name == name && s.Attributes["error.type"] == nil })
	for key, want := range map[string]any{
		"rpc.system": "aws-api", "rpc.service": "GameLift", "rpc.method": "CreatePlayerSession", "matchyard.protocol": protocol,
		"matchyard.access_key": "AKIDOFANN", "http.response.status_code": int64(200),
	} {
		if good.Attributes[key] != want {
			t.Errorf("%s is %v, want %v", key, good.Attributes[key], want)
		}
	}
	if aws, _ := good.Attributes["http.request.header.x-amzn-trace-id"].([]any); len(aws) != 1 || aws[0] != callersAWS {
		t.Errorf("AWS's header is %v", aws)
	}
	if id, _ := good.Attributes["aws.request_id"].(string); len(id) != 36 {
		t.Errorf("request id %q", id)
	}
	if good.Trace != callersTrace || good.Parent != "b7ad6b7169203331" || good.Kind != wire.Span_SPAN_KIND_SERVER || good.Failed {
		t.Errorf("got %+v", good)
	}
	checkTransaction(t, c, good, "store.batch", database)
	bad := c.Wait("a refused request", func(s tracetest.Span) bool {
		return s.Name == name && s.Attributes["error.type"] == "NotFoundException"
	})
	if bad.Attributes["http.response.status_code"] != int64(400) || bad.Failed {
		t.Errorf("got %+v", bad)
	}
	if good.Resource["service.name"] != "matchyard" || good.Resource["service.version"] != "test" {
		t.Errorf("resource %v", good.Resource)
	}
	for _, s := range c.Spans() {
		for key, v := range s.Attributes {
			if text, ok := v.(string); ok && strings.Contains(text, "secret") {
				t.Errorf("%s of %s tells %q", key, s.Name, text)
			}
		}
	}
}

// checkTransaction finds a transaction below a span, with its three parts, of which none is
// outside of it.
func checkTransaction(t *testing.T, c *tracetest.Collector, of tracetest.Span, name, database string) {
	t.Helper()
	for _, x := range c.Below(of) {
		if x.Name != name {
			continue
		}
		var parts []string
		for _, p := range c.Below(x) {
			parts = append(parts, p.Name)
			if p.Start.Before(x.Start) || p.End.After(x.End) {
				t.Errorf("%s is not within %s", p.Name, x.Name)
			}
		}
		if strings.Join(parts, " ") != "store.wait store.run store.commit" || x.Attributes["db.system.name"] != database {
			t.Errorf("%s has the parts %v and the attributes %v", name, parts, x.Attributes)
		}
		if n, _ := x.Attributes["matchyard.store.batch"].(int64); name == "store.batch" && n < 1 {
			t.Errorf("a batch of %d calls", n)
		}
		return
	}
	t.Errorf("%s has no %s below it, but %v", of.Name, name, c.Below(of))
}

// checkBackground looks at what is done for no request: the game server's message, the pass,
// the delivery.
func checkBackground(t *testing.T, c *tracetest.Collector, game string) {
	t.Helper()
	activated := c.Wait("a message", func(s tracetest.Span) bool { return s.Name == "gateway.ActivateGameSession" })
	if a := activated.Attributes; a["matchyard.game_session_id"] != game || a["matchyard.process_id"] != "process-1" || a["matchyard.status"] != int64(200) {
		t.Errorf("message %v", a)
	}
	if activated.Parent != "" || len(c.Below(activated)) == 0 {
		t.Errorf("the message is below %q and has below it %v", activated.Parent, c.Below(activated))
	}
	delivered := c.Wait("a delivery", func(s tracetest.Span) bool { return s.Name == "webhook.deliver" })
	if a := delivered.Attributes; a["matchyard.sink"] != "hook" || a["matchyard.events"] != int64(1) || a["matchyard.event_id"] == nil {
		t.Errorf("delivery %v", a)
	}
	if post := c.Below(delivered); len(post) != 1 || post[0].Name != "POST" || post[0].Kind != wire.Span_SPAN_KIND_CLIENT || post[0].Attributes["http.response.status_code"] != int64(200) {
		t.Errorf("below the delivery %+v", post)
	}
	pass := c.Wait("a pass", func(s tracetest.Span) bool { return s.Name == "placement.Pass" })
	var below []string
	for _, s := range c.Below(pass) {
		below = append(below, s.Name)
	}
	if pass.Parent != "" || !slices.Contains(below, "store.read") || !slices.Contains(below, "store.write") {
		t.Errorf("the pass has below it %v", below)
	}
	for _, s := range c.Spans() {
		if strings.HasSuffix(s.Name, ".Pass") && len(c.Below(s)) == 0 {
			t.Errorf("a pass that did nothing is a trace: %+v", s)
		}
	}
}

// A collector that is not there is no reason to answer later or to end later, and what it
// misses is counted.
func TestServingWithoutTheCollector(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Configure: func(c *config.Config) { c.Traces = "http://127.0.0.1:1" }})
	for range 20 {
		must[gamelift.ListFleetsOutput](t)(s.Client.ListFleets(t.Context(), &gamelift.ListFleetsInput{}))
	}
	_, body := s.Get(s.Admin + "/metrics")
	for _, name := range []string{"matchyard_trace_spans_sent_total 0", "matchyard_trace_spans_dropped_total "} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("metrics lack %s", name)
		}
	}
	start := time.Now()
	s.Stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
}
