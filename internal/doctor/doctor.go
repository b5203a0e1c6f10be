// Package doctor finds out why a client or a game server does not get on with an endpoint:
// it makes the calls that they make, one after the other, and says what is wrong and what to
// do about it. It changes nothing, save that computes get one more token, and knows no server from
// inside.
package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"
)

// Result is what a check found.
type Result struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Said  string `json:"said"`
	Do    string `json:"do,omitempty"` // what to do, when something is wrong
}

// State is how a check ended.
type State string

// The states. A check that has nothing to look at, or whose ground is missing, is skipped.
const (
	OK      State = "ok"
	Wrong   State = "wrong"
	Skipped State = "skipped"
)

// Doctor makes the checks. All fields but Fleet are needed.
type Doctor struct {
	URL    string // of the API
	Region string
	Fleet  string // id, ARN or name; "" for none
	API    *gamelift.Client
	Env    func(string) string // the environment of a game server
	HTTP   *http.Client
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Now    func() time.Time

	date  time.Time // what the server's clock said
	asked time.Time // at that time by ours
	known types.FleetAttributes
	arns  []string
}

// patience is how long one check may take.
const patience = 10 * time.Second

// Check runs all checks, in the order in which each stands on those before it, and calls said
// with each result. It tells whether nothing is wrong.
func (d *Doctor) Check(ctx context.Context, said func(Result)) bool {
	well := true
	for _, c := range []struct {
		name string
		f    func(context.Context) Result
	}{
		{"server", d.Server},
		{"clock", d.Clock},
		{"websocket", d.WebSocket},
		{"credentials", d.Credentials},
		{"region", d.RegionMatches},
		{"fleet", d.FleetIsThere},
		{"computes", d.Computes},
		{"games", d.Games},
		{"environment", d.Environment},
	} {
		limit, cancel := context.WithTimeout(ctx, patience)
		r := c.f(limit)
		cancel()
		r.Check = c.name
		well = well && r.State != Wrong
		said(r)
	}
	return well
}

func ok(f string, args ...any) Result { return Result{State: OK, Said: fmt.Sprintf(f, args...)} }
func skipped(f string, args ...any) Result {
	return Result{State: Skipped, Said: fmt.Sprintf(f, args...)}
}
func wrong(said, do string) Result { return Result{State: Wrong, Said: said, Do: do} }

// Server asks for the URL: somebody must answer, and speak HTTP.
func (d *Doctor) Server(ctx context.Context) Result {
	u, err := url.Parse(d.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return wrong(fmt.Sprintf("%q is not an http or https URL", d.URL), "give --server URL or AWS_ENDPOINT_URL_GAMELIFT, as in http://127.0.0.1:9170")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, http.NoBody)
	if err != nil {
		return wrong(err.Error(), "give another --server URL")
	}
	before := d.Now()
	answer, err := d.HTTP.Do(r)
	if err != nil {
		return wrong(err.Error(), adviceOn(err, u))
	}
	_ = answer.Body.Close()
	after := d.Now()
	d.asked = before.Add(after.Sub(before) / 2)
	d.date, _ = http.ParseTime(answer.Header.Get("Date"))
	if answer.StatusCode >= http.StatusInternalServerError {
		return wrong(d.URL+" answers "+answer.Status, "look at the server's log, and at the proxy in front of it, if there is one")
	}
	return ok("%s answers in %s", d.URL, after.Sub(before).Round(time.Millisecond/10))
}

// adviceOn is what to do about a connection that was not made.
func adviceOn(err error, u *url.URL) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return "the certificate is nobody's that this machine trusts: set SSL_CERT_FILE to the server's tls-cert.pem"
	case errors.As(err, &name):
		return "the certificate is for other names: add " + u.Hostname() + " to the server's tls-hosts"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "this port speaks no TLS: use http:// instead"
	case errors.As(err, &dns):
		return "there is no host of that name: check the URL and the DNS"
	case errors.Is(err, context.DeadlineExceeded):
		return "packets get lost on the way: check the address, the firewall, and that the server does not listen on loopback only"
	}
	return "is a server running there? start one by: matchyard dev"
}

// skew is how far two clocks may be apart: signatures are refused beyond.
const skew = 5 * time.Minute

// Clock compares this machine's clock with the server's.
func (d *Doctor) Clock(context.Context) Result {
	if d.date.IsZero() {
		return skipped("the server did not say its time")
	}
	off := d.asked.Sub(d.date.Add(500 * time.Millisecond)) // it says whole seconds
	if off.Abs() > skew {
		return wrong(fmt.Sprintf("this machine's clock is %s", ahead(off)), "set the clock, for example by: timedatectl set-ntp true")
	}
	return ok("this machine's clock is %s", ahead(off))
}

func ahead(off time.Duration) string {
	switch {
	case off.Abs() <= time.Second:
		return "the server's"
	case off > 0:
		return off.Round(time.Second).String() + " ahead of the server's"
	}
	return (-off).Round(time.Second).String() + " behind the server's"
}

// WebSocket asks as a game server does, without saying which: a server refuses that, and a
// proxy that knows no WebSocket answers something else.
func (d *Doctor) WebSocket(ctx context.Context) Result {
	if u, err := url.Parse(d.URL); err == nil && strings.HasSuffix(u.Host, ".amazonaws.com") {
		return skipped("game servers of Amazon's service dial another address")
	}
	return d.upgrade(ctx, d.URL)
}

func (d *Doctor) upgrade(ctx context.Context, to string) Result {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
	if err != nil {
		return wrong(err.Error(), "give another URL")
	}
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "bWF0Y2h5YXJkIGRvY3Rvcg=="} {
		r.Header.Set(k, v)
	}
	answer, err := d.HTTP.Do(r)
	if err != nil {
		return wrong(err.Error(), adviceOn(err, r.URL))
	}
	_ = answer.Body.Close()
	switch s := answer.StatusCode; {
	case s == http.StatusSwitchingProtocols, s >= 400 && s < 500 && s != http.StatusUpgradeRequired:
		return ok("WebSocket requests reach the server")
	default:
		return wrong(fmt.Sprintf("a WebSocket request to %s is answered by %s", to, answer.Status),
			"a proxy does not let WebSocket through: let it pass the headers Upgrade and Connection on (nginx: proxy_http_version 1.1)")
	}
}

// Credentials makes the least of signed calls.
func (d *Doctor) Credentials(ctx context.Context) Result {
	out, err := d.API.ListFleets(ctx, &gamelift.ListFleetsInput{Limit: aws.Int32(1)})
	if err != nil {
		return wrong(reason(err), adviceOnRefusal(err))
	}
	if len(out.FleetIds) > 0 {
		if a, err := d.API.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: out.FleetIds}); err == nil && len(a.FleetAttributes) > 0 {
			d.arns = append(d.arns, aws.ToString(a.FleetAttributes[0].FleetArn))
		}
	}
	return ok("the server takes the access key and lists fleets")
}

// reason is what the server said, without what the SDK wraps it in.
func reason(err error) string {
	if said, ok := errors.AsType[smithy.APIError](err); ok {
		return said.ErrorCode() + ": " + said.ErrorMessage()
	}
	return err.Error()
}

func adviceOnRefusal(err error) string {
	said, isAPI := errors.AsType[smithy.APIError](err)
	if !isAPI {
		return "see the checks above"
	}
	text := said.ErrorCode() + " " + said.ErrorMessage()
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(text), w) })
	}
	switch {
	case has("expired", "skew", "not yet current", "too old"):
		return "the key or the signature is too old: check the clock above, and take a new key"
	case has("scope", "region"):
		return "the request was signed for another region or service: set AWS_REGION to the server's"
	case has("signature"):
		return "the secret is not the key's: set AWS_SECRET_ACCESS_KEY to what matchyard keys create printed"
	case has("unrecognizedclient", "invalidclienttokenid", "security token", "does not exist", "unknown key", "access key"):
		return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of this server: matchyard keys create"
	case has("accessdenied", "unauthorized", "not allowed", "not authorized"):
		return "the key's policy does not allow ListFleets: make one that may, by matchyard keys create --policy"
	}
	return "look at the server's log for this request"
}

// RegionMatches compares the region of requests with the one in ARNs.
func (d *Doctor) RegionMatches(ctx context.Context) Result {
	if len(d.arns) == 0 {
		out, err := d.API.ListLocations(ctx, &gamelift.ListLocationsInput{Filters: []types.LocationFilter{types.LocationFilterCustom}, Limit: aws.Int32(1)})
		if err == nil && len(out.Locations) > 0 {
			d.arns = append(d.arns, aws.ToString(out.Locations[0].LocationArn))
		}
	}
	if len(d.arns) == 0 {
		return skipped("the server has nothing with an ARN yet")
	}
	parts := strings.Split(d.arns[0], ":")
	if len(parts) < 5 || parts[3] == "" {
		return skipped("the ARN %s names no region", d.arns[0])
	}
	if parts[3] != d.Region {
		return wrong(fmt.Sprintf("requests are for %s, and the server is %s", d.Region, parts[3]), "set AWS_REGION="+parts[3])
	}
	return ok("requests and ARNs are of %s", d.Region)
}

// FleetIsThere finds the fleet, which must be ACTIVE.
func (d *Doctor) FleetIsThere(ctx context.Context) Result {
	if d.Fleet = cmp.Or(d.Fleet, d.Env("GAMELIFT_SDK_FLEET_ID")); d.Fleet == "" {
		return skipped("no fleet is named: give --fleet")
	}
	var names []string
	pages := gamelift.NewDescribeFleetAttributesPaginator(d.API, &gamelift.DescribeFleetAttributesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return wrong(reason(err), adviceOnRefusal(err))
		}
		for _, f := range page.FleetAttributes {
			if slices.Contains([]string{aws.ToString(f.FleetId), aws.ToString(f.FleetArn), aws.ToString(f.Name)}, d.Fleet) {
				d.known = f
			}
			names = append(names, aws.ToString(f.Name))
		}
	}
	switch {
	case d.known.FleetId == nil && len(names) == 0:
		return wrong("there is no fleet "+d.Fleet+", nor any other", "create one, by aws gamelift create-fleet or by matchyard import")
	case d.known.FleetId == nil:
		return wrong("there is no fleet "+d.Fleet, fmt.Sprintf("name one of the %d there are: matchyard ps fleets", len(names)))
	case d.known.Status == types.FleetStatusError:
		return wrong("the fleet is in ERROR", "aws gamelift describe-fleet-events says why; create another one")
	case d.known.Status != types.FleetStatusActive:
		return wrong(fmt.Sprintf("the fleet is %s", d.known.Status), "wait until it is ACTIVE; aws gamelift describe-fleet-events says how far it is")
	}
	return ok("%s is ACTIVE (%s)", aws.ToString(d.known.FleetId), d.known.ComputeType)
}

// mostComputes are asked for a token and dialed.
const mostComputes = 20

// Computes looks at the computes of an Anywhere fleet: each must be ACTIVE, get a token, and
// have an endpoint that can be reached.
func (d *Doctor) Computes(ctx context.Context) Result {
	if d.known.FleetId == nil {
		return skipped("no fleet to look at")
	}
	out, err := d.API.ListCompute(ctx, &gamelift.ListComputeInput{FleetId: d.known.FleetId, Limit: aws.Int32(100)})
	if err != nil {
		return wrong(reason(err), adviceOnRefusal(err))
	}
	if len(out.ComputeList) == 0 {
		if d.known.ComputeType == types.ComputeTypeAnywhere {
			return wrong("the fleet has no computes, so no game server can be in it", "aws gamelift register-compute --fleet-id "+aws.ToString(d.known.FleetId)+" --compute-name NAME --ip-address IP --location LOCATION")
		}
		return wrong("the fleet has no instances", "check its capacity (aws gamelift describe-fleet-location-capacity) and the hosts: matchyard hosts list")
	}
	dialed := map[string]bool{}
	for i, c := range out.ComputeList {
		if i == mostComputes {
			break
		}
		name := aws.ToString(c.ComputeName)
		if !strings.EqualFold(string(c.ComputeStatus), string(types.ComputeStatusActive)) { // it is "Active" on the wire, too
			return wrong(fmt.Sprintf("compute %s is %s", name, c.ComputeStatus), "deregister it and register it again")
		}
		if d.known.ComputeType == types.ComputeTypeAnywhere {
			token, err := d.API.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: d.known.FleetId, ComputeName: c.ComputeName})
			if err != nil {
				return wrong(fmt.Sprintf("compute %s gets no token: %s", name, reason(err)), adviceOnRefusal(err))
			}
			if aws.ToString(token.AuthToken) == "" {
				return wrong("compute "+name+" gets no token", "look at the server's log for this request")
			}
		}
		if at := aws.ToString(c.GameLiftServiceSdkEndpoint); at != "" && !dialed[at] {
			dialed[at] = true
			if r := d.reach(ctx, at); r.State == Wrong {
				r.Said = fmt.Sprintf("compute %s is told to dial %s: %s", name, at, r.Said)
				r.Do = cmp.Or(r.Do, "set the server's --advertise to an address that hosts reach")
				return r
			}
		}
	}
	return ok("%d computes are ACTIVE, get tokens, and are told an endpoint that answers", len(out.ComputeList))
}

// reach dials the host and port of a URL.
func (d *Doctor) reach(ctx context.Context, to string) Result {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		return wrong(fmt.Sprintf("%q is not a ws or wss URL", to), "")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	c, err := d.Dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return wrong(err.Error(), "")
	}
	_ = c.Close()
	return ok("%s can be reached", to)
}

// Games knocks at the addresses that players are told. Most games speak UDP, so that a port
// that is closed for TCP says nothing; a host that is not there does.
func (d *Doctor) Games(ctx context.Context) Result {
	if d.known.FleetId == nil {
		return skipped("no fleet to look at")
	}
	out, err := d.API.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{FleetId: d.known.FleetId, StatusFilter: aws.String(string(types.GameSessionStatusActive)), Limit: aws.Int32(mostComputes)})
	if err != nil {
		return wrong(reason(err), adviceOnRefusal(err))
	}
	seen := map[string]bool{}
	for _, g := range out.GameSessions {
		at := net.JoinHostPort(aws.ToString(g.IpAddress), strconv.Itoa(int(aws.ToInt32(g.Port))))
		if seen[at] {
			continue
		}
		seen[at] = true
		limit, cancel := context.WithTimeout(ctx, patience/5)
		c, err := d.Dial(limit, "tcp", at)
		cancel()
		if err == nil {
			_ = c.Close()
			continue
		}
		var refused *net.OpError
		if errors.As(err, &refused) && strings.Contains(refused.Error(), "refused") {
			continue // the host is there
		}
		return wrong(fmt.Sprintf("players are told %s, which does not answer: %s", at, err),
			"register the compute with an address that players reach, and open the port in the firewall; for games of UDP alone behind a firewall this may be a false alarm")
	}
	if len(seen) == 0 {
		return skipped("no game session is ACTIVE")
	}
	return ok("%d addresses that players are told can be reached", len(seen))
}

// What InitSDK reads, when it is called without parameters.
var (
	needed  = []string{"GAMELIFT_SDK_WEBSOCKET_URL", "GAMELIFT_SDK_FLEET_ID", "GAMELIFT_SDK_HOST_ID", "GAMELIFT_SDK_PROCESS_ID"}
	secrets = []string{"GAMELIFT_SDK_AUTH_TOKEN", "GAMELIFT_ACCESS_KEY"}
)

// Environment looks at what a game server would find in the environment: all of it or
// nothing, and nothing that another part contradicts.
func (d *Doctor) Environment(ctx context.Context) Result {
	var missing []string
	for _, name := range needed {
		if d.Env(name) == "" {
			missing = append(missing, name)
		}
	}
	secret := slices.ContainsFunc(secrets, func(s string) bool { return d.Env(s) != "" })
	switch {
	case len(missing) == len(needed) && !secret:
		return skipped("no GAMELIFT_SDK_ variables are set here; game servers are told by parameters of InitSDK, or by their host's agent")
	case len(missing) > 0:
		return wrong("not set: "+strings.Join(missing, ", "), "set all of them, or none and give InitSDK its parameters")
	case !secret:
		return wrong("neither GAMELIFT_SDK_AUTH_TOKEN nor GAMELIFT_ACCESS_KEY is set", "set GAMELIFT_SDK_AUTH_TOKEN to what aws gamelift get-compute-auth-token prints; it lives for some hours")
	}
	socket := d.Env("GAMELIFT_SDK_WEBSOCKET_URL")
	if r := d.reach(ctx, socket); r.State == Wrong {
		return wrong("GAMELIFT_SDK_WEBSOCKET_URL: "+r.Said, "set it to the GameLiftServiceSdkEndpoint that register-compute or describe-compute prints")
	}
	fleet, host := d.Env("GAMELIFT_SDK_FLEET_ID"), d.Env("GAMELIFT_SDK_HOST_ID")
	if id := aws.ToString(d.known.FleetId); id != "" && fleet != id && fleet != aws.ToString(d.known.FleetArn) {
		return wrong(fmt.Sprintf("GAMELIFT_SDK_FLEET_ID is %s, and the fleet is %s", fleet, id), "set GAMELIFT_SDK_FLEET_ID="+id)
	}
	if _, err := d.API.DescribeCompute(ctx, &gamelift.DescribeComputeInput{FleetId: &fleet, ComputeName: &host}); err != nil {
		return wrong(fmt.Sprintf("GAMELIFT_SDK_HOST_ID %s: %s", host, reason(err)), "set it to the name of a compute of the fleet, or register one of this name")
	}
	if region := d.Env("GAMELIFT_REGION"); region != "" && region != d.Region {
		return wrong(fmt.Sprintf("GAMELIFT_REGION is %s, and requests are for %s", region, d.Region), "set GAMELIFT_REGION="+d.Region)
	}
	return ok("the GAMELIFT_SDK_ variables are all there and name %s of %s", host, fleet)
}
