package host_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/fleet/fleettest"
	"github.com/matchyard/matchyard/internal/hostmsg"
)

const unknownFleet = "fleet-01234567-89ab-7def-8123-456789abcdef"

// anywhere makes an Anywhere fleet in the west.
func (r *rooms) anywhere() string {
	r.t.Helper()
	out, err := r.Fleets.CreateFleet(r.t.Context(), &gamelift.CreateFleetInput{
		Name: new("laptops"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new(string(west))}},
	})
	expect.OK(r.t, err)
	return *out.FleetAttributes.FleetId
}

func TestDescribeInstances(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		f := string(r.fleet(nil))
		r.join("a", here, 10)
		r.settle()
		r.capacity(asFleet(f), here, 5)
		r.settle()
		var seen []string
		in := &gamelift.DescribeInstancesInput{FleetId: &f, Limit: new(int32(2))}
		for pages := 1; ; pages++ {
			out, err := r.DescribeInstances(ctx, in)
			expect.OK(t, err)
			for _, i := range out.Instances {
				seen = append(seen, *i.InstanceId)
				expect.Same(t, "ARN", *i.FleetArn, home.Fleet(asFleet(f)))
				expect.Same(t, "location", *i.Location, "us-west-2")
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				expect.Same(t, "pages", pages, 3)
				break
			}
		}
		expect.Same(t, "instances", len(seen), 5)
		one, err := r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: &f, InstanceId: &seen[3]})
		expect.OK(t, err)
		expect.Same(t, "the one", *one.Instances[0].InstanceId, seen[3])

		_, err = r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: &f, InstanceId: new("i-none")})
		expect.Refused(t, "an unknown instance", err, missing, "InstanceId", "i-none")
		_, err = r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: &f, Location: new(string(west))})
		expect.Refused(t, "another location", err, missing, "Location", string(west))
		_, err = r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: new(unknownFleet)})
		expect.Refused(t, "an unknown fleet", err, missing, "FleetId")
		_, err = r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: new(r.anywhere())})
		expect.Refused(t, "an Anywhere fleet", err, invalid, "ANYWHERE")
		_, err = r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: &f, NextToken: new("x")})
		expect.Refused(t, "a wrong token", err, invalid, "NextToken")

		// An instance of which no process is ready is PENDING, one that ends TERMINATING.
		a := r.world.agents["a"]
		first := a.runs[seen[0]]
		for pid := range first.processes {
			a.exit(seen[0], pid, hostmsg.ExitCrashed, "")
		}
		a.away = true
		r.capacity(asFleet(f), here, 4)
		expect.OK(t, r.Pass(ctx))
		out, err := r.DescribeInstances(ctx, &gamelift.DescribeInstancesInput{FleetId: &f})
		expect.OK(t, err)
		states := map[types.InstanceStatus]int{}
		for _, i := range out.Instances {
			states[i.Status]++
		}
		expect.Same(t, "active", states[types.InstanceStatusActive], 4-states[types.InstanceStatusPending])
		expect.Same(t, "terminating", states[types.InstanceStatusTerminating], 1)
		a.away = false
		r.settle()
	})
}

func TestEC2InstanceLimits(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		one := func(kind types.EC2InstanceType, at *string) types.EC2InstanceLimit {
			out, err := r.DescribeEC2InstanceLimits(ctx, &gamelift.DescribeEC2InstanceLimitsInput{EC2InstanceType: kind, Location: at})
			expect.OK(t, err)
			expect.Same(t, "entries", len(out.EC2InstanceLimits), 1)
			return out.EC2InstanceLimits[0]
		}
		expect.Same(t, "without hosts", *one(types.EC2InstanceTypeC5Large, nil).InstanceLimit, 0)
		r.fleet(nil)
		r.join("a", here, 3)
		r.join("b", here, 4)
		r.join("w", west, 50)
		r.settle()
		limit := one(types.EC2InstanceTypeC5Large, nil)
		expect.Same(t, "limit", *limit.InstanceLimit, 7)
		expect.Same(t, "current", *limit.CurrentInstances, 1)
		expect.Same(t, "current of another type", *one(types.EC2InstanceTypeC4Large, nil).CurrentInstances, 0)
		expect.Same(t, "limit in the west", *one(types.EC2InstanceTypeC5Large, new(string(west))).InstanceLimit, 50)
		out, err := r.DescribeEC2InstanceLimits(ctx, &gamelift.DescribeEC2InstanceLimitsInput{})
		expect.OK(t, err)
		expect.Same(t, "all types", len(out.EC2InstanceLimits), len(types.EC2InstanceType("").Values()))
		_, err = r.DescribeEC2InstanceLimits(ctx, &gamelift.DescribeEC2InstanceLimitsInput{Location: new("eu-west-1")})
		expect.Refused(t, "elsewhere", err, "UnsupportedRegionException", "eu-west-1")
	})
}

func TestAccessIsRefused(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		f := string(r.fleet(nil))
		r.builds = fleettest.Build(t, r.DB, types.BuildStatusReady, types.OperatingSystemAmazonLinux2023, "4.0.2")
		old := string(r.fleet(nil))
		a := r.join("a", here, 3)
		r.settle()
		of := map[string]string{}
		for id, b := range a.runs {
			of[b.start.Fleet] = id
		}
		_, err := r.Computes.GetComputeAccess(ctx, &gamelift.GetComputeAccessInput{FleetId: &f, ComputeName: new(of[f])})
		expect.Refused(t, "a shell", err, denied, of[f])
		_, err = r.GetInstanceAccess(ctx, &gamelift.GetInstanceAccessInput{FleetId: &old, InstanceId: new(of[old])})
		expect.Refused(t, "an instance", err, denied, of[old])
		_, err = r.GetInstanceAccess(ctx, &gamelift.GetInstanceAccessInput{FleetId: &f, InstanceId: new(of[f])})
		expect.Refused(t, "with SDK 5", err, invalid, "GetComputeAccess")
		_, err = r.GetInstanceAccess(ctx, &gamelift.GetInstanceAccessInput{FleetId: &old, InstanceId: new("i-none")})
		expect.Refused(t, "an unknown instance", err, missing, "i-none")
		_, err = r.GetInstanceAccess(ctx, &gamelift.GetInstanceAccessInput{FleetId: new(r.anywhere()), InstanceId: new("i-none")})
		expect.Refused(t, "an Anywhere fleet", err, invalid, "ANYWHERE")
		_, err = r.Computes.DeregisterCompute(ctx, &gamelift.DeregisterComputeInput{FleetId: &f, ComputeName: new(of[f])})
		expect.Refused(t, "deregistering an instance", err, invalid, "EC2")
	})
}

// TestLogs: an agent may store the archives of its own game sessions, which are found by
// their URL for 14 days.
func TestLogs(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		f := r.fleet(nil)
		a := r.join("a", here, 3)
		r.settle()
		g := r.play(f, here, "")
		other := r.join("b", here, 3)
		expect.Same(t, "of another host's game session", len(other.say(&hostmsg.WantUpload{GameSession: *g.GameSessionId})), 0)
		answers := a.say(&hostmsg.WantUpload{GameSession: *g.GameSessionId}, &hostmsg.WantUpload{GameSession: "x"})
		expect.Same(t, "answers", len(answers), 1)
		mentions(t, answers[0].(*hostmsg.Upload).URL, "put logs/"+string(f)+"/gsess-", ".zip 1h0m0s 1073741824")
		r.finish(g)
		url := func() (string, error) {
			out, err := r.Sessions.GetGameSessionLogUrl(ctx, &gamelift.GetGameSessionLogUrlInput{GameSessionId: g.GameSessionId})
			if err != nil {
				return "", err
			}
			return *out.PreSignedUrl, nil
		}
		_, err := url()
		expect.Refused(t, "before the upload", err, missing)
		a.say(&hostmsg.Uploaded{GameSession: *g.GameSessionId, Instance: *g.ComputeName, Size: 77})
		a.say(&hostmsg.Uploaded{GameSession: *g.GameSessionId, Instance: *g.ComputeName, Size: 78}) // again
		text, err := url()
		expect.OK(t, err)
		mentions(t, text, "get logs/"+string(f)+"/gsess-", " 15m0s gsess-")
		a.say(&hostmsg.Uploaded{GameSession: *g.GameSessionId, Instance: *g.ComputeName, Failed: "disk full"})
		codes, messages := r.events(f)
		expect.Same(t, "event", count(codes, "COMPUTE_LOG_UPLOAD_FAILED"), 1)
		mentions(t, messages, "disk full")
		r.tick(15 * 24 * time.Hour)
		_, err = url()
		expect.Refused(t, "long after", err, missing)
	})
}

func TestTokens(t *testing.T) {
	each(t, func(r *rooms) {
		ctx := t.Context()
		if _, _, err := r.CreateToken(ctx, ""); err == nil {
			t.Error("a token without a name")
		}
		tok, secret, err := r.CreateToken(ctx, "rack 7")
		expect.OK(t, err)
		hello := hostmsg.Hello{Host: "x", Address: "10.0.0.2", OS: "linux", Capacity: 1}
		j, sync, refuse, err := r.Hello(ctx, secret, hello)
		if err != nil || refuse != nil || sync == nil {
			t.Fatalf("Hello: %v %v", refuse, err)
		}
		_, _, refuse, err = r.Hello(ctx, r.token, hello)
		expect.OK(t, err)
		if refuse == nil || !refuse.Retry {
			t.Errorf("the same name with another token: %+v", refuse)
		}
		expect.OK(t, r.Leave(ctx, j))
		_, _, refuse, err = r.Hello(ctx, r.token, hello)
		expect.OK(t, err)
		expect.Same(t, "once it has left", refuse == nil, true)
		list, err := r.Tokens(ctx)
		expect.OK(t, err)
		expect.Same(t, "tokens", len(list), 2)
		expect.Same(t, "name", list[1].Name, "rack 7")
		expect.Same(t, "used", list[1].UsedAt, r.clock.Now())
		expect.OK(t, r.RevokeToken(ctx, tok.ID))
		expect.OK(t, r.RevokeToken(ctx, tok.ID))
		_, _, refuse, err = r.Hello(ctx, secret, hello)
		expect.OK(t, err)
		if refuse == nil || refuse.Retry {
			t.Errorf("a revoked token: %+v", refuse)
		}
		if err := r.RevokeToken(ctx, "host-none"); err == nil {
			t.Error("an unknown token was revoked")
		}
		one, err := r.OwnToken(ctx, "dev")
		expect.OK(t, err)
		two, err := r.OwnToken(ctx, "dev")
		expect.OK(t, err)
		for secret, want := range map[string]bool{one: false, two: true, "": false} {
			ok, err := r.Authenticate(ctx, secret)
			expect.OK(t, err)
			expect.Same(t, "own token", ok, want)
		}
		for field, h := range map[string]hostmsg.Hello{
			"host":     {Host: "a b", Address: "10.0.0.1", OS: "linux"},
			"address":  {Host: "a", Address: "example.com", OS: "linux"},
			"os":       {Host: "a", Address: "::1", OS: "plan9"},
			"capacity": {Host: "a", Address: "::1", OS: "linux", Capacity: -1},
			"location": {Host: "a", Address: "::1", OS: "linux", Location: "a/b"},
			"dnsName":  {Host: "a", Address: "::1", OS: "linux", DNSName: "a b"},
		} {
			_, _, refuse, err := r.Hello(ctx, r.token, h)
			expect.OK(t, err)
			if refuse == nil {
				t.Errorf("%s: %+v was let in", field, h)
				continue
			}
			mentions(t, refuse.Reason, field+":")
		}
	})
}

// TestHostsThatMove: with instances they stay where they are.
func TestHostsThatMove(t *testing.T) {
	each(t, func(r *rooms) {
		r.fleet(nil)
		a := r.join("a", here, 3)
		r.settle()
		h := a.hello
		h.Location = string(west)
		_, _, refuse, err := r.Hello(t.Context(), r.token, h)
		expect.OK(t, err)
		if refuse == nil || !refuse.Retry {
			t.Fatalf("got %+v, want a refusal", refuse)
		}
		mentions(t, refuse.Reason, "1 instances in us-west-2")
		expect.OK(t, r.Drain(t.Context(), "a", true))
		r.settle()
		a.hello.Location = string(west)
		a.dial(r)
		list, err := r.Hosts(t.Context())
		expect.OK(t, err)
		expect.Same(t, "location", list[0].Location, west)
		a.drop()
		expect.OK(t, r.Forget(t.Context(), "a"))
		if err := r.Forget(t.Context(), "a"); err == nil {
			t.Error("forgotten twice")
		}
		delete(r.world.agents, "a")
	})
}

func asFleet(id string) arn.FleetID { return arn.FleetID(id) }
