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
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

func TestRegisterThenDescribe(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		in := registration(home.Fleet(arn.FleetID(r.fleet)), "rack-1/blade-2", east)
		in.DnsName, in.CertificatePath = new("host.example"), new("/etc/cert.pem")
		out, err := r.RegisterCompute(t.Context(), in)
		must(t, err)
		c := out.Compute
		same(t, "fleet", *c.FleetId, r.fleet)
		same(t, "fleet ARN", *c.FleetArn, home.Fleet(arn.FleetID(r.fleet)))
		same(t, "name", *c.ComputeName, "rack-1/blade-2")
		same(t, "ARN", *c.ComputeArn, "arn:aws:gamelift:us-west-2:123456789012:compute/rack-1/blade-2")
		same(t, "status", c.ComputeStatus, "Active")
		same(t, "address", *c.IpAddress+" "+*c.DnsName, "10.0.0.1 host.example")
		same(t, "location", *c.Location, string(east))
		same(t, "time", *c.CreationTime, r.clock.Now())
		same(t, "SDK endpoint", *c.GameLiftServiceSdkEndpoint, "ws://127.0.0.1:9170")
		same(t, "agent endpoint", *c.GameLiftAgentEndpoint, "ws://127.0.0.1:9170/agent")
		if c.Type != "" || c.OperatingSystem != "" || c.InstanceId != nil || c.ContainerAttributes != nil || c.GameServerContainerGroupDefinitionArn != nil {
			t.Errorf("members of managed computes are set: %+v", c)
		}
		for _, name := range []string{"rack-1/blade-2", *c.ComputeArn} {
			got, err := r.DescribeCompute(t.Context(), &gamelift.DescribeComputeInput{FleetId: c.FleetArn, ComputeName: &name})
			must(t, err)
			same(t, "described by "+name, fmt.Sprint(show(got.Compute)), show(c))
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
			refused(t, c.what, err, c.code, c.words)
		}
		_, err := r.RegisterCompute(t.Context(), registration(elsewhere, "one", east))
		must(t, err) // names are the fleet's own

		r.register("two", west)
		_, err = r.RegisterCompute(t.Context(), registration(r.fleet, "three", east))
		refused(t, "over quota", err, overQuota, "quota")
		_, err = r.RegisterCompute(t.Context(), registration(r.fleet, "one", east))
		refused(t, "taken name at the quota", err, conflict)
		_, err = r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &r.fleet, ComputeName: new("one")})
		must(t, err)
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
		refused(t, "managed fleet", err, invalid, "ANYWHERE")
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
				refused(t, "one too many", err, overQuota)
			})
		}
		wg.Wait()
		same(t, "registered", won, 5)
	})
}

func TestDeregisterEndsProcesses(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		host := r.ready("one", "hosting")
		same(t, "reserved", r.reserved(east), "hosting")
		idle := r.ready("one", "idle")
		d := r.dial("one", "late")
		_, err := r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &r.fleet, ComputeName: new("one")})
		must(t, err)
		same(t, "ended", strings.Join(r.ended, ", "), "hosting: Deregistered, idle: Deregistered")
		for _, p := range []compute.Process{host, idle} {
			same(t, p.ProcessID, r.read(p).Status, compute.StatusEnded)
			_, _, err := r.Certificate(t.Context(), p.Key)
			refused(t, "certificate", err, missing)
		}
		r.full(east, "no compute")
		same(t, "events", r.events(), "")
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "dial to a compute that is gone", err, 404, "one")

		// A compute of the same name is another one: the old token does not open it.
		r.register("one", east)
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "dial with the old token", err, 403)
		same(t, "new dial", r.connect("one", "idle").Status, compute.StatusConnected)
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
			refused(t, "DescribeCompute: "+what, err, id.code)
			_, err = r.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &id.fleet, ComputeName: &id.name})
			refused(t, "DeregisterCompute: "+what, err, id.code)
			_, err = r.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &id.fleet, ComputeName: &id.name})
			refused(t, "GetComputeAuthToken: "+what, err, id.code)
			_, err = r.GetComputeAccess(t.Context(), &gamelift.GetComputeAccessInput{FleetId: &id.fleet, ComputeName: &id.name})
			refused(t, "GetComputeAccess: "+what, err, id.code)
		}
		_, err := r.GetComputeAccess(t.Context(), &gamelift.GetComputeAccessInput{FleetId: &r.fleet, ComputeName: new("one")})
		refused(t, "GetComputeAccess", err, invalid, "ANYWHERE")
		_, err = r.ListCompute(t.Context(), &gamelift.ListComputeInput{FleetId: new(unknownFleet)})
		refused(t, "ListCompute", err, invalid, "FleetId")
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
				must(t, err)
				if in.Limit != nil && len(out.ComputeList) > int(*in.Limit) || out.ComputeList == nil {
					t.Fatalf("page of %d (nil: %v)", len(out.ComputeList), out.ComputeList == nil)
				}
				for _, c := range out.ComputeList {
					same(t, "endpoint", *c.GameLiftServiceSdkEndpoint, "ws://127.0.0.1:9170")
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
			same(t, c.what, strings.Join(names(&c.in), " "), c.want)
		}

		out, err := r.ListCompute(t.Context(), &gamelift.ListComputeInput{FleetId: &r.fleet, Limit: new(int32(2))})
		must(t, err)
		for what, in := range map[string]*gamelift.ListComputeInput{
			"foreign token":    {FleetId: &r.fleet, NextToken: new(page.Encode("ListFleets", nil, store.Key(1)))},
			"other parameters": {FleetId: &r.fleet, NextToken: out.NextToken, Location: new(string(east))},
			"text":             {FleetId: &r.fleet, NextToken: new("abc")},
		} {
			_, err := r.ListCompute(t.Context(), in)
			refused(t, what, err, invalid, "NextToken")
		}
	})
}

func TestDeletedFleetTakesItsComputesAlong(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", west)
		r.ready("one", "a")
		r.ready("two", "b")
		same(t, "processes in all", r.count(""), 2)
		same(t, "processes east", r.count(east), 1)

		_, err := r.Fleets.DeleteFleetLocations(t.Context(), &gamelift.DeleteFleetLocationsInput{FleetId: &r.fleet, Locations: []string{string(west)}})
		must(t, err)
		same(t, "after the location", strings.Join(r.ended, ", "), "b: LocationDeleted")
		same(t, "processes left", r.count(""), 1)

		d := r.dial("one", "late")
		_, err = r.Fleets.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &r.fleet})
		must(t, err)
		same(t, "after the fleet", strings.Join(r.ended, ", "), "b: LocationDeleted, a: FleetDeleted")
		same(t, "processes of a deleted fleet", r.count(""), 0)
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "dial to a deleted fleet", err, 404, r.fleet)
	})
}

func TestCertificate(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		in := registration(r.fleet, "one", east)
		in.CertificatePath = new("/etc/cert.pem")
		_, err := r.RegisterCompute(t.Context(), in)
		must(t, err)
		r.register("two", east)
		for name, want := range map[string]string{"one": "/etc/cert.pem", "two": ""} {
			path, of, err := r.Certificate(t.Context(), r.connect(name, "p").Key)
			must(t, err)
			same(t, "compute", string(of), name)
			same(t, "path", path, want)
		}
		_, _, err = r.Certificate(t.Context(), 1)
		refused(t, "unknown process", err, missing)
	})
}

func TestTokenIsSharedAndRenewedWithOverlap(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		out, err := r.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &r.fleet, ComputeName: new(home.Compute("one"))})
		must(t, err)
		same(t, "expiry", out.ExpirationTimestamp.Sub(r.clock.Now()), time.Hour)
		same(t, "names", *out.FleetId+" "+*out.ComputeName, r.fleet+" one")
		same(t, "ARNs", *out.FleetArn+" "+*out.ComputeArn, home.Fleet(arn.FleetID(r.fleet))+" "+home.Compute("one"))
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
		same(t, "with more than 15 minutes left", r.token("one"), first)
		r.clock.Advance(time.Second)
		second := r.token("one")
		if second == first {
			t.Error("with 15 minutes left: the same token again")
		}
		must(t, dial("a", first))
		must(t, dial("b", second))
		r.clock.Advance(15*time.Minute - time.Millisecond)
		must(t, dial("c", first))
		r.clock.Advance(time.Millisecond)
		turnedAway(t, "a new process with the expired token", dial("d", first), 403, "expired")
		must(t, dial("d", second))
		must(t, dial("a", first)) // live
		must(t, dial("b", first)) // live, and began with the other token
		same(t, "the second one is still given out", r.token("one"), second)
	})
}

func TestTokensAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		first := r.token("one")
		a := r.dial("one", "a")
		_, err := r.Connect(t.Context(), a)
		must(t, err)
		b := r.connect("one", "b")
		must(t, r.Ready(t.Context(), b.Key, compute.Ready{Port: 1}))
		c := r.dial("one", "b")
		c.AuthToken = first

		r.tick(26 * time.Hour) // past the token's 1 and the day it is kept
		_, err = r.Connect(t.Context(), c)
		must(t, err) // it is what the process dialled with
		c.ProcessID = "c"
		_, err = r.Connect(t.Context(), c)
		turnedAway(t, "forgotten token", err, 403, "not one of compute one")
		_, ok, err := r.Due(t.Context())
		must(t, err)
		same(t, "anything due", ok, true) // a, whose end is remembered
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
		same(t, "tokens", len(seen), 1)
	})
}
