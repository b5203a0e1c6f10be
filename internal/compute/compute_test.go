package compute_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

func TestRegisterThenDescribe(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		in := registration(home.Fleet(arn.FleetID(r.fleet)), "rack-1/blade-2", east)
		in.DnsName, in.CertificatePath = new("host.example"), new("/etc/cert.pem")
		out, err := r.RegisterCompute(t.Context(), in)
		expect.OK(t, err)
		c := out.Compute
		expect.Same(t, "fleet", *c.FleetId, r.fleet)
		expect.Same(t, "fleet ARN", *c.FleetArn, home.Fleet(arn.FleetID(r.fleet)))
		expect.Same(t, "name", *c.ComputeName, "rack-1/blade-2")
		expect.Same(t, "ARN", *c.ComputeArn, "arn:aws:gamelift:us-west-2:123456789012:compute/rack-1/blade-2")
		expect.Same(t, "status", c.ComputeStatus, "Active")
		expect.Same(t, "address", *c.IpAddress+" "+*c.DnsName, "10.0.0.1 host.example")
		expect.Same(t, "location", *c.Location, string(east))
		expect.Same(t, "time", *c.CreationTime, r.clock.Now())
		expect.Same(t, "SDK endpoint", *c.GameLiftServiceSdkEndpoint, "ws://127.0.0.1:9170")
		expect.Same(t, "agent endpoint", *c.GameLiftAgentEndpoint, "ws://127.0.0.1:9170/agent")
		if c.Type != "" || c.OperatingSystem != "" || c.InstanceId != nil || c.ContainerAttributes != nil || c.GameServerContainerGroupDefinitionArn != nil {
			t.Errorf("members of managed computes are set: %+v", c)
		}
		for _, name := range []string{"rack-1/blade-2", *c.ComputeArn} {
			got, err := r.DescribeCompute(t.Context(), &gamelift.DescribeComputeInput{FleetId: c.FleetArn, ComputeName: &name})
			expect.OK(t, err)
			expect.Same(t, "described by "+name, fmt.Sprint(expect.JSON(got.Compute)), expect.JSON(c))
		}
	})
}

func TestRegisterRefuses(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.Config.ComputesPerFleet = 2
		r.register("one", east)
		elsewhere := r.newFleet(east)
		for _, c := range []struct {
			what  string
			with  func(in *gamelift.RegisterComputeInput)
			code  string
			words string
		}{
			{"no fleet of that id", func(in *gamelift.RegisterComputeInput) { in.FleetId = new(unknownFleet) }, invalid, "FleetId"},
			{"another thing's ARN", func(in *gamelift.RegisterComputeInput) { in.FleetId = new("arn:aws:gamelift:us-west-2::alias/alias-1") }, invalid, "FleetId"},
			{"no location", func(in *gamelift.RegisterComputeInput) { in.Location = nil }, invalid, "Location"},
			{"unknown location", func(in *gamelift.RegisterComputeInput) { in.Location = new("custom-moon") }, invalid, "Location"},
			{"a location of another fleet", func(in *gamelift.RegisterComputeInput) { in.FleetId, in.Location = &elsewhere, new(string(west)) }, invalid, "Location"},
			{"no IP address", func(in *gamelift.RegisterComputeInput) { in.IpAddress, in.DnsName = nil, new("host.example") }, invalid, "IpAddress"},
			{"location before address", func(in *gamelift.RegisterComputeInput) { in.IpAddress, in.Location = nil, nil }, invalid, "Location"},
			{"a name that is taken", func(in *gamelift.RegisterComputeInput) { in.ComputeName = new("one") }, conflict, "ComputeName"},
		} {
			in := registration(r.fleet, "two", east)
			c.with(in)
			_, err := r.RegisterCompute(t.Context(), in)
			expect.Refused(t, c.what, err, c.code, c.words)
		}
		_, err := r.RegisterCompute(t.Context(), registration(elsewhere, "one", east))
		expect.OK(t, err) // names are the fleet's own

		r.register("two", west)
		_, err = r.RegisterCompute(t.Context(), registration(r.fleet, "three", east))
		expect.Refused(t, "over quota", err, overQuota, "quota")
		_, err = r.RegisterCompute(t.Context(), registration(r.fleet, "one", east))
		expect.Refused(t, "taken name at the quota", err, conflict)
		_, err = r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &r.fleet, ComputeName: new("one")})
		expect.OK(t, err)
		r.register("three", east)

		r.write(func(tx *store.Tx) error {
			f, err := r.Fleets.GetTx(tx, arn.FleetID(elsewhere))
			if err != nil {
				return err
			}
			_, err = tx.Exec(`UPDATE fleet SET compute_type = 'EC2' WHERE key = $1`, f.Key)
			return err
		})
		_, err = r.RegisterCompute(t.Context(), registration(elsewhere, "two", east))
		expect.Refused(t, "managed fleet", err, invalid, "ANYWHERE")
	})
}

func TestQuotaHoldsUnderConcurrency(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.Config.ComputesPerFleet = 5
		var mu sync.Mutex
		var won int
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := r.RegisterCompute(t.Context(), registration(r.fleet, fmt.Sprintf("host-%d", i), east))
				if err == nil {
					mu.Lock()
					won++
					mu.Unlock()
					return
				}
				expect.Refused(t, "one too many", err, overQuota)
			})
		}
		wg.Wait()
		expect.Same(t, "registered", won, 5)
	})
}

func TestDeregisterEndsProcesses(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		host := r.ready("one", "hosting")
		expect.Same(t, "reserved", r.reserved(east), "hosting")
		idle := r.ready("one", "idle")
		d := r.dial("one", "late")
		_, err := r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &r.fleet, ComputeName: new("one")})
		expect.OK(t, err)
		expect.Same(t, "ended", strings.Join(r.ended, ", "), "hosting: Deregistered, idle: Deregistered")
		for _, p := range []compute.Process{host, idle} {
			expect.Same(t, p.ProcessID, r.read(p).Status, compute.StatusEnded)
			_, _, err := r.Certificate(t.Context(), p.Key)
			expect.Refused(t, "certificate", err, missing)
		}
		r.full(east, "no compute")
		expect.Same(t, "events", r.events(), "")
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "dial to a compute that is gone", err, 404, "one")

		// A compute of the same name is another one: the old token does not open it.
		r.register("one", east)
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "dial with the old token", err, 403)
		expect.Same(t, "new dial", r.connect("one", "idle").Status, compute.StatusConnected)
	})
}

func TestReadsOfUnknownThings(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		for what, id := range map[string]struct{ fleet, name, code string }{
			"fleet":           {unknownFleet, "one", missing},
			"compute":         {r.fleet, "two", missing},
			"compute by ARN":  {r.fleet, home.Compute("two"), missing},
			"malformed fleet": {"arn:aws:gamelift:us-west-2::alias/alias-1", "one", invalid},
			"malformed ARN":   {r.fleet, "arn:aws:gamelift:us-west-2::alias/alias-1", invalid},
		} {
			_, err := r.DescribeCompute(t.Context(), &gamelift.DescribeComputeInput{FleetId: &id.fleet, ComputeName: &id.name})
			expect.Refused(t, "DescribeCompute: "+what, err, id.code)
			_, err = r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &id.fleet, ComputeName: &id.name})
			expect.Refused(t, "DeregisterCompute: "+what, err, id.code)
			_, err = r.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &id.fleet, ComputeName: &id.name})
			expect.Refused(t, "GetComputeAuthToken: "+what, err, id.code)
			_, err = r.GetComputeAccess(t.Context(), &gamelift.GetComputeAccessInput{FleetId: &id.fleet, ComputeName: &id.name})
			expect.Refused(t, "GetComputeAccess: "+what, err, id.code)
		}
		_, err := r.GetComputeAccess(t.Context(), &gamelift.GetComputeAccessInput{FleetId: &r.fleet, ComputeName: new("one")})
		expect.Refused(t, "GetComputeAccess", err, invalid, "ANYWHERE")
		_, err = r.ListCompute(t.Context(), &gamelift.ListComputeInput{FleetId: new(unknownFleet)})
		expect.Refused(t, "ListCompute", err, invalid, "FleetId")
	})
}

func TestListCompute(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		for i := range 7 {
			r.register(fmt.Sprintf("host-%d", i), []arn.Location{east, west}[i%2])
		}
		names := func(in *gamelift.ListComputeInput) (list []string) {
			t.Helper()
			in.FleetId = &r.fleet
			for {
				out, err := r.ListCompute(t.Context(), in)
				expect.OK(t, err)
				if in.Limit != nil && len(out.ComputeList) > int(*in.Limit) || out.ComputeList == nil {
					t.Fatalf("page of %d (nil: %v)", len(out.ComputeList), out.ComputeList == nil)
				}
				for _, c := range out.ComputeList {
					expect.Same(t, "endpoint", *c.GameLiftServiceSdkEndpoint, "ws://127.0.0.1:9170")
					list = append(list, *c.ComputeName)
				}
				if in.NextToken = out.NextToken; in.NextToken == nil {
					return list
				}
			}
		}
		all := []string{"host-0", "host-1", "host-2", "host-3", "host-4", "host-5", "host-6"}
		for _, limit := range []int32{1, 2, 3, 7, 8, 5000} {
			if got := names(&gamelift.ListComputeInput{Limit: &limit}); !slices.Equal(got, all) {
				t.Errorf("limit %d: %v", limit, got)
			}
		}
		for _, c := range []struct {
			what string
			in   gamelift.ListComputeInput
			want string
		}{
			{"east", gamelift.ListComputeInput{Location: new(string(east)), Limit: new(int32(3))}, "host-0 host-2 host-4 host-6"},
			{"west", gamelift.ListComputeInput{Location: new(string(west))}, "host-1 host-3 host-5"},
			{"nowhere", gamelift.ListComputeInput{Location: new("custom-moon")}, ""},
			{"active", gamelift.ListComputeInput{ComputeStatus: types.ListComputeInputStatusActive}, strings.Join(all, " ")},
			{"impaired", gamelift.ListComputeInput{ComputeStatus: types.ListComputeInputStatusImpaired}, ""},
			{"containers", gamelift.ListComputeInput{ContainerGroupDefinitionName: new("group")}, ""},
		} {
			expect.Same(t, c.what, strings.Join(names(&c.in), " "), c.want)
		}

		out, err := r.ListCompute(t.Context(), &gamelift.ListComputeInput{FleetId: &r.fleet, Limit: new(int32(2))})
		expect.OK(t, err)
		for what, in := range map[string]*gamelift.ListComputeInput{
			"foreign token":    {FleetId: &r.fleet, NextToken: new(page.Encode("ListFleets", nil, store.Key(1)))},
			"other parameters": {FleetId: &r.fleet, NextToken: out.NextToken, Location: new(string(east))},
			"text":             {FleetId: &r.fleet, NextToken: new("abc")},
		} {
			_, err := r.ListCompute(t.Context(), in)
			expect.Refused(t, what, err, invalid, "NextToken")
		}
	})
}

func TestDeletedFleetTakesItsComputesAlong(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", west)
		r.ready("one", "a")
		r.ready("two", "b")
		expect.Same(t, "processes in all", r.count(""), 2)
		expect.Same(t, "processes east", r.count(east), 1)

		_, err := r.Fleets.DeleteFleetLocations(t.Context(), &gamelift.DeleteFleetLocationsInput{FleetId: &r.fleet, Locations: []string{string(west)}})
		expect.OK(t, err)
		expect.Same(t, "after the location", strings.Join(r.ended, ", "), "b: LocationDeleted")
		expect.Same(t, "processes left", r.count(""), 1)

		d := r.dial("one", "late")
		_, err = r.Fleets.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &r.fleet})
		expect.OK(t, err)
		expect.Same(t, "after the fleet", strings.Join(r.ended, ", "), "b: LocationDeleted, a: FleetDeleted")
		expect.Same(t, "processes of a deleted fleet", r.count(""), 0)
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "dial to a deleted fleet", err, 404, r.fleet)
	})
}

func TestCertificate(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		in := registration(r.fleet, "one", east)
		in.CertificatePath = new("/etc/cert.pem")
		_, err := r.RegisterCompute(t.Context(), in)
		expect.OK(t, err)
		r.register("two", east)
		for name, want := range map[string]string{"one": "/etc/cert.pem", "two": ""} {
			path, of, err := r.Certificate(t.Context(), r.connect(name, "p").Key)
			expect.OK(t, err)
			expect.Same(t, "compute", string(of), name)
			expect.Same(t, "path", path, want)
		}
		_, _, err = r.Certificate(t.Context(), 1)
		expect.Refused(t, "unknown process", err, missing)
	})
}

func TestTokenIsSharedAndRenewedWithOverlap(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		out, err := r.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &r.fleet, ComputeName: new(home.Compute("one"))})
		expect.OK(t, err)
		expect.Same(t, "expiry", out.ExpirationTimestamp.Sub(r.clock.Now()), time.Hour)
		expect.Same(t, "names", *out.FleetId+" "+*out.ComputeName, r.fleet+" one")
		expect.Same(t, "ARNs", *out.FleetArn+" "+*out.ComputeArn, home.Fleet(arn.FleetID(r.fleet))+" "+home.Compute("one"))
		first := *out.AuthToken
		if len(first) > 64 || strings.Trim(first, "0123456789abcdef-") != "" {
			t.Errorf("token %q", first)
		}
		dial := func(pid, token string) error {
			d := r.dial("one", pid)
			d.AuthToken = token
			_, err := r.Connect(t.Context(), d)
			return err
		}
		r.clock.Advance(44*time.Minute + 59*time.Second)
		expect.Same(t, "with more than 15 minutes left", r.token("one"), first)
		r.clock.Advance(time.Second)
		second := r.token("one")
		if second == first {
			t.Error("with 15 minutes left: the same token again")
		}
		expect.OK(t, dial("a", first))
		expect.OK(t, dial("b", second))
		r.clock.Advance(15*time.Minute - time.Millisecond)
		expect.OK(t, dial("c", first))
		r.clock.Advance(time.Millisecond)
		turnedAway(t, "a new process with the expired token", dial("d", first), 403, "expired")
		expect.OK(t, dial("d", second))
		expect.OK(t, dial("a", first)) // live
		expect.OK(t, dial("b", first)) // live, and began with the other token
		expect.Same(t, "the second one is still given out", r.token("one"), second)
	})
}

func TestTokensAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		first := r.token("one")
		a := r.dial("one", "a")
		_, err := r.Connect(t.Context(), a)
		expect.OK(t, err)
		b := r.connect("one", "b")
		expect.OK(t, r.Ready(t.Context(), b.Key, compute.Ready{Port: 1}))
		c := r.dial("one", "b")
		c.AuthToken = first

		r.tick(26 * time.Hour) // past the token's 1 and the day it is kept
		_, err = r.Connect(t.Context(), c)
		expect.OK(t, err) // it is what the process dialled with
		c.ProcessID = "c"
		_, err = r.Connect(t.Context(), c)
		turnedAway(t, "forgotten token", err, 403, "not one of compute one")
		_, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "anything due", ok, true) // a, whose end is remembered
	})
}

func TestConcurrentCallsGetOneToken(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				out, err := r.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &r.fleet, ComputeName: new("one")})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[*out.AuthToken]++
				mu.Unlock()
			})
		}
		wg.Wait()
		expect.Same(t, "tokens", len(seen), 1)
	})
}
