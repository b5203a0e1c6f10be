package host_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// beacons is what ListLocations says of both locations, as "HOST:PORT HOST:PORT".
func (r *rooms) beacons() string {
	r.t.Helper()
	var list map[arn.Location]string
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		list, err = r.BeaconsTx(tx)
		return err
	}))
	return list[here] + " " + list[west]
}

// lost is how many hosts of each location are lost.
func (r *rooms) lost() string {
	r.t.Helper()
	var list map[arn.Location]int
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		list, err = r.LostTx(tx)
		return err
	}))
	return fmt.Sprint(list)
}

func TestBeaconsOfHosts(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		at := func(name string, l arn.Location, beacon string) *agent {
			a := &agent{r: r, runs: map[string]*box{}, hello: hostmsg.Hello{
				Host: name, Location: string(l), Address: "10.0.0.1", OS: "linux", Capacity: 1, Beacon: beacon,
			}}
			r.world.agents[name] = a
			a.dial(r)
			return a
		}
		at("none", west, "")
		expect.Same(t, "without any", r.beacons(), " ")
		z := at("z", west, "z.example:7770")
		a := at("a", west, "[2001:db8::1]:7771")
		at("home", here, "10.0.0.3:7770")
		expect.Same(t, "the first that joined", r.beacons(), "10.0.0.3:7770 z.example:7770")

		z.drop()
		expect.Same(t, "one that is connected before one that is not", r.beacons(), "10.0.0.3:7770 [2001:db8::1]:7771")
		a.drop()
		expect.Same(t, "all are away, as at a restart of the server", r.beacons(), "10.0.0.3:7770 z.example:7770")
		a.dial(r)
		z.dial(r)
		expect.OK(t, r.Drain(ctx, "z", true))
		expect.Same(t, "one that stays before one that is drained", r.beacons(), "10.0.0.3:7770 [2001:db8::1]:7771")
		expect.OK(t, r.Drain(ctx, "z", false))
		expect.Same(t, "as before", r.beacons(), "10.0.0.3:7770 z.example:7770")

		z.drop()
		a.drop()
		for range 20 {
			r.pass(5 * time.Second)
		}
		expect.Same(t, "after both were lost", r.beacons(), "10.0.0.3:7770 ")
		expect.Same(t, "lost hosts", r.lost(), "map[custom-west:2 us-west-2:0]")
		z.hello.Beacon = ""
		a.dial(r)
		z.dial(r)
		expect.Same(t, "after they came back, one without", r.beacons(), "10.0.0.3:7770 [2001:db8::1]:7771")
		expect.Same(t, "lost hosts", r.lost(), "map[custom-west:0 us-west-2:0]")

		for _, bad := range []string{"10.0.0.1", "10.0.0.1:0", "a b:7770", "x.example:70000000", ":7770", "x\n:7770", strings.Repeat("x", 300) + ":1"} {
			_, _, refuse, err := r.Hello(ctx, r.token, hostmsg.Hello{Host: "bad", Address: "10.0.0.1", OS: "linux", Beacon: bad})
			expect.OK(t, err)
			if refuse == nil || !strings.HasPrefix(refuse.Reason, "beacon: ") {
				t.Errorf("beacon %q: %+v, want it refused", bad, refuse)
			}
		}
		list, err := r.Fleets.ListLocations(ctx, &gamelift.ListLocationsInput{})
		expect.OK(t, err)
		expect.Same(t, "of fleets that know no beacons", list.Locations[0].PingBeacon == nil, true)
	})
}
