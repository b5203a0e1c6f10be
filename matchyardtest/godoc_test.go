package matchyardtest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/matchyardtest"
)

// lobby stands for the program under test. It knows nothing of Matchyard.
type lobby struct{ client *gamelift.Client }

func (l lobby) open(ctx context.Context) (types.FleetStatus, error) {
	if _, err := l.client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
		return "", err
	}
	out, err := l.client.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new("custom-home")}},
	})
	if err != nil {
		return "", err
	}
	return out.FleetAttributes.Status, nil
}

// In a test, t is the test's own.
func ExampleStart() {
	test(func(t testing.TB) {
		server := matchyardtest.Start(t)
		status, err := lobby{server.Client()}.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("the fleet is", status)
	})
	// Output: the fleet is ACTIVE
}

// Time stands still until the test turns it: nobody waits for an hour, and nothing times out
// because the machine is slow.
func ExampleServer_Advance() {
	test(func(t testing.TB) {
		server := matchyardtest.Start(t)
		client := server.Client()
		token := func() time.Time {
			out, err := client.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: new(arena(t, client)), ComputeName: new("host")})
			if err != nil {
				t.Fatal(err)
			}
			return *out.ExpirationTimestamp
		}
		before := token()
		server.Advance(time.Hour)
		fmt.Println("a new token:", token().After(before))
	})
	// Output: a new token: true
}

// arena is a fleet with one host, the same at each call.
func arena(t testing.TB, client *gamelift.Client) string {
	fleets, err := client.ListFleets(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(fleets.FleetIds) > 0 {
		return fleets.FleetIds[0]
	}
	if _, err := (lobby{client}).open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fleets, err = client.ListFleets(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RegisterCompute(t.Context(), &gamelift.RegisterComputeInput{
		FleetId: &fleets.FleetIds[0], ComputeName: new("host"), Location: new("custom-home"), IpAddress: new("127.0.0.1"),
	}); err != nil {
		t.Fatal(err)
	}
	return fleets.FleetIds[0]
}

// test runs f, once, as a test would be run: examples have no t of their own.
func test(f func(t testing.TB)) {
	var once sync.Once
	testing.Benchmark(func(b *testing.B) { once.Do(func() { f(b) }) })
}
