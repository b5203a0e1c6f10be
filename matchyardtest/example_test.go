package matchyardtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/matchyardtest"
)

// A program's own code, under test: it knows nothing of Matchyard.
func openArena(ctx context.Context, client *gamelift.Client) (fleet string, err error) {
	if _, err := client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
		return "", err
	}
	out, err := client.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("arena"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: new("custom-home")}},
	})
	if err != nil {
		return "", err
	}
	return *out.FleetAttributes.FleetId, nil
}

func TestAProgramOfOnesOwn(t *testing.T) {
	server := matchyardtest.Start(t)
	ctx := t.Context()
	fleet, err := openArena(ctx, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	token := func() time.Time {
		t.Helper()
		out, err := server.Client().GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: &fleet, ComputeName: new("host")})
		if err != nil {
			t.Fatal(err)
		}
		return *out.ExpirationTimestamp
	}
	if _, err := server.Client().RegisterCompute(ctx, &gamelift.RegisterComputeInput{
		FleetId: &fleet, ComputeName: new("host"), Location: new("custom-home"), IpAddress: new("127.0.0.1"),
	}); err != nil {
		t.Fatal(err)
	}
	first := token()
	if again := token(); !again.Equal(first) {
		t.Errorf("time passed by itself: %v, then %v", first, again)
	}
	server.Advance(50 * time.Minute)
	if later := token(); later.Sub(first) < 45*time.Minute {
		t.Errorf("50 minutes later the token expires at %v, before at %v", later, first)
	}
}

func TestTwoServersAtOnce(t *testing.T) {
	a, b := matchyardtest.Start(t), matchyardtest.Start(t, matchyardtest.RealClock(), matchyardtest.Reservation(time.Second))
	if _, err := openArena(t.Context(), a.Client()); err != nil {
		t.Fatal(err)
	}
	out, err := b.Client().ListFleets(t.Context(), nil)
	if err != nil || len(out.FleetIds) != 0 {
		t.Errorf("the other server's fleets: %v, %v", out, err)
	}
}
