package fleet_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

func TestListLocationsNamesBeaconsOfOtherMachines(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a", "custom-b", "custom-c")
		beacons := map[arn.Location]string{"us-west-2": "10.0.0.1:7770", "custom-b": "[2001:db8::1]:7772", "custom-gone": "10.0.0.2:7770", "custom-c": "bad"}
		r.Beacons = func(*store.Tx) (map[arn.Location]string, error) {
			return maps.Clone(beacons), nil
		}
		at := func(domain string, port int32) *types.PingBeacon {
			return &types.PingBeacon{UDPEndpoint: &types.UDPEndpoint{Domain: &domain, Port: &port}}
		}
		// The server's own, if it has one, is the home region's.
		for own, atHome := range map[string]*types.PingBeacon{"": at("10.0.0.1", 7770), "ping.example.net:7771": at("ping.example.net", 7771)} {
			r.Beacon = own
			var got []*types.PingBeacon
			for token, more := (*string)(nil), true; more; more = token != nil {
				out, err := r.ListLocations(ctx, &gamelift.ListLocationsInput{Limit: new(int32(2)), NextToken: token})
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range out.Locations {
					got = append(got, l.PingBeacon)
				}
				token = out.NextToken
			}
			is, _ := json.Marshal(got)
			want, _ := json.Marshal([]*types.PingBeacon{atHome, nil, at("2001:db8::1", 7772), nil})
			if string(is) != string(want) {
				t.Errorf("the server's own is %q: %s, want %s", own, is, want)
			}
		}
	})
}
