package fleet_test

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestLocationsOfAFleetsCreation(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		out, err := r.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-a"), Tags: tags("k")})
		want := types.LocationModel{LocationName: new("custom-a"), LocationArn: new("arn:aws:gamelift:us-west-2:123456789012:location/custom-a")}
		if err != nil || expect.JSON(out.Location) != expect.JSON(want) {
			t.Fatalf("CreateLocation = %s, %v, want %s", expect.JSON(out), err, expect.JSON(want))
		}
		_, err = r.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-a")})
		expect.Refused(t, "again", err, conflict, "custom-a")

		id := r.fleet("custom-a")
		_, err = r.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: new("custom-a")})
		expect.Refused(t, "delete in use", err, invalid, "in use")
		if _, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &id}); err != nil {
			t.Fatal(err)
		}

		if _, err := r.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: want.LocationArn}); err != nil {
			t.Fatalf("delete by ARN: %v", err)
		}
		_, err = r.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: new("custom-a")})
		expect.Refused(t, "delete again", err, missing, "custom-a")
		_, err = r.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: new("arn:aws:gamelift:us-west-2::fleet/custom-a")})
		expect.Refused(t, "delete of a fleet's ARN", err, invalid, "LocationName")

		// The name is free, and its tags are not inherited.
		r.location("custom-a")
		list, err := r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: want.LocationArn})
		if err != nil || len(list.Tags) != 0 {
			t.Errorf("tags of the new location %s, %v, want none", expect.JSON(list), err)
		}
		for code, bad := range map[string][]types.Tag{invalid: tags("AWS:k"), tagging: manyTags(51)} {
			_, err = r.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-b"), Tags: bad})
			expect.Refused(t, "bad tags", err, code)
		}
	})
}

func TestLocationQuota(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		for i := range 20 {
			r.location("custom-" + strconv.Itoa(i))
		}
		_, err := r.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-x")})
		expect.Refused(t, "21st", err, overQuota, "20")
		_, err = r.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-1")})
		expect.Refused(t, "taken name at the quota", err, conflict)
		if _, err := r.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: new("custom-1")}); err != nil {
			t.Fatal(err)
		}
		r.location("custom-x")
	})
}

func TestConcurrentCreateLocationHasOneWinner(t *testing.T) {
	each(t, func(r *rooms) {
		for round := range 5 {
			name := "custom-" + strconv.Itoa(round)
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					_, err := r.CreateLocation(r.t.Context(), &gamelift.CreateLocationInput{LocationName: &name})
					if err == nil {
						won.Add(1)
						return
					}
					expect.Refused(r.t, "loser", err, conflict, name)
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				r.t.Errorf("%s: %d winners, want 1", name, won.Load())
			}
		}
	})
}

// TestConcurrentUseAndDeletionOfALocation: a location that a fleet got is not deleted, and a
// deleted one no fleet got.
func TestConcurrentUseAndDeletionOfALocation(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		for round := range 10 {
			name := "custom-" + strconv.Itoa(round)
			r.location(name)
			var used, deleted error
			var wg sync.WaitGroup
			wg.Go(func() { _, used = r.CreateFleet(t.Context(), anywhere(name)) })
			wg.Go(func() {
				_, deleted = r.DeleteLocation(t.Context(), &gamelift.DeleteLocationInput{LocationName: &name})
			})
			wg.Wait()
			if (used == nil) == (deleted == nil) {
				t.Fatalf("use: %v; deletion: %v; want exactly one to succeed", used, deleted)
			}
		}
	})
}

func TestListLocations(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.Beacon = "ping.example.net:7771"
		r.Quotas.CustomLocations = 100
		custom := []string{}
		for i := range 30 {
			custom = append(custom, "custom-"+strconv.Itoa(29-i))
		}
		r.location(custom...)

		for name, c := range map[string]struct {
			filters []types.LocationFilter
			want    []string
		}{
			"all":    {nil, append([]string{"us-west-2"}, custom...)},
			"both":   {[]types.LocationFilter{"CUSTOM", "AWS"}, append([]string{"us-west-2"}, custom...)},
			"custom": {[]types.LocationFilter{"CUSTOM"}, custom},
			"AWS":    {[]types.LocationFilter{"AWS"}, []string{"us-west-2"}},
		} {
			for limit := int32(1); limit <= 33; limit++ {
				got := walk(t, int(limit), func(token *string) ([]string, *string, error) {
					out, err := r.ListLocations(ctx, &gamelift.ListLocationsInput{Filters: c.filters, Limit: &limit, NextToken: token})
					if err != nil {
						return nil, nil, err
					}
					return idsOf(out.Locations, func(l types.LocationModel) *string { return l.LocationName }), out.NextToken, nil
				})
				if !slices.Equal(got, c.want) {
					t.Fatalf("%s, limit %d: %v, want %v", name, limit, got, c.want)
				}
			}
		}

		page, err := r.ListLocations(ctx, &gamelift.ListLocationsInput{Limit: new(int32(2))})
		if err != nil {
			t.Fatal(err)
		}
		want := []types.LocationModel{
			{LocationName: new("us-west-2"), PingBeacon: &types.PingBeacon{UDPEndpoint: &types.UDPEndpoint{Domain: new("ping.example.net"), Port: new(int32(7771))}}},
			{LocationName: new("custom-29"), LocationArn: new(home.Location("custom-29"))},
		}
		if expect.JSON(page.Locations) != expect.JSON(want) {
			t.Errorf("%s, want %s", expect.JSON(page.Locations), expect.JSON(want))
		}
		tokensRefused(t, *page.NextToken, func(token *string) error {
			_, err := r.ListLocations(ctx, &gamelift.ListLocationsInput{NextToken: token})
			return err
		})
		_, err = r.ListLocations(ctx, &gamelift.ListLocationsInput{NextToken: page.NextToken, Filters: []types.LocationFilter{"CUSTOM"}})
		expect.Refused(t, "token of other filters", err, invalid, "NextToken")

		r.Beacon = ""
		out, err := r.ListLocations(ctx, &gamelift.ListLocationsInput{Filters: []types.LocationFilter{"AWS"}})
		if err != nil || out.Locations[0].PingBeacon != nil {
			t.Errorf("without a beacon: %s, %v", expect.JSON(out), err)
		}
	})
}

func TestFleetLocations(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a", "custom-b", "custom-c")
		id := r.fleet("custom-b")
		add := func(at ...string) (*gamelift.CreateFleetLocationsOutput, error) {
			return r.CreateFleetLocations(ctx, &gamelift.CreateFleetLocationsInput{FleetId: &id, Locations: anywhere(at...).Locations})
		}
		list := func(named ...string) []string {
			t.Helper()
			out, err := r.DescribeFleetLocationAttributes(ctx, &gamelift.DescribeFleetLocationAttributesInput{FleetId: &id, Locations: named, Limit: new(int32(1))})
			if err != nil || out.LocationAttributes == nil || out.NextToken != nil || *out.FleetId != id || *out.FleetArn != home.Fleet(arn.FleetID(id)) {
				t.Fatalf("DescribeFleetLocationAttributes = %s, %v", expect.JSON(out), err)
			}
			return idsOf(out.LocationAttributes, func(l types.LocationAttributes) *string { return l.LocationState.Location })
		}

		out, err := add("custom-c", "custom-a")
		want := []types.LocationState{{Location: new("custom-c"), Status: types.FleetStatusActive}, {Location: new("custom-a"), Status: types.FleetStatusActive}}
		if err != nil || *out.FleetId != id || *out.FleetArn != home.Fleet(arn.FleetID(id)) || expect.JSON(out.LocationStates) != expect.JSON(want) {
			t.Fatalf("CreateFleetLocations = %s, %v, want %s", expect.JSON(out), err, expect.JSON(want))
		}
		if got := list(); !slices.Equal(got, []string{"custom-b", "custom-c", "custom-a"}) {
			t.Errorf("all locations %v", got)
		}
		if got := list("custom-a", "custom-x", "custom-b", "custom-a"); !slices.Equal(got, []string{"custom-a", "custom-b"}) {
			t.Errorf("named locations %v", got)
		}
		if got := list("us-west-2"); len(got) != 0 {
			t.Errorf("home location %v", got)
		}

		for name, c := range map[string]struct {
			at   []string
			code string
		}{
			"present": {[]string{"custom-a"}, conflict}, "unknown": {[]string{"custom-x"}, missing},
			"AWS": {[]string{"us-west-2"}, invalid}, "twice": {[]string{"custom-x", "custom-x"}, invalid},
		} {
			_, err := add(c.at...)
			expect.Refused(t, name, err, c.code, c.at[0])
		}
		for status, code := range map[types.FleetStatus]string{
			types.FleetStatusNew: notReady, types.FleetStatusDownloading: notReady, types.FleetStatusValidating: notReady, types.FleetStatusBuilding: notReady,
			types.FleetStatusActivating: notReady, types.FleetStatusError: badStatus, types.FleetStatusDeleting: badStatus, types.FleetStatusExpired: badStatus,
		} {
			r.setStatus(id, status)
			_, err := add("custom-a")
			expect.Refused(t, string(status), err, code, string(status))
		}
		r.setStatus(id, types.FleetStatusActive)

		var left []arn.Location
		r.Leaving = func(tx *store.Tx, f arn.FleetID, at arn.Location) error {
			left = append(left, at)
			status, err := r.LocationTx(tx, f, at)
			if status != types.FleetStatusDeleting {
				t.Errorf("leaving %s in %s", at, status)
			}
			return err
		}
		gone, err := r.DeleteFleetLocations(ctx, &gamelift.DeleteFleetLocationsInput{FleetId: &id, Locations: []string{"custom-c", "custom-b"}})
		want = []types.LocationState{{Location: new("custom-c"), Status: types.FleetStatusDeleting}, {Location: new("custom-b"), Status: types.FleetStatusDeleting}}
		if err != nil || *gone.FleetId != id || expect.JSON(gone.LocationStates) != expect.JSON(want) || !slices.Equal(left, []arn.Location{"custom-c", "custom-b"}) {
			t.Fatalf("DeleteFleetLocations = %s, %v, left %v, want %s", expect.JSON(gone), err, left, expect.JSON(want))
		}
		if got := list(); !slices.Equal(got, []string{"custom-a"}) {
			t.Errorf("locations after deletion %v", got)
		}
		for name, c := range map[string]struct {
			at   []string
			code string
		}{
			"gone": {[]string{"custom-c"}, missing}, "home": {[]string{"us-west-2"}, invalid}, "twice": {[]string{"custom-a", "custom-a"}, invalid},
		} {
			_, err := r.DeleteFleetLocations(ctx, &gamelift.DeleteFleetLocationsInput{FleetId: &id, Locations: c.at})
			expect.Refused(t, "delete "+name, err, c.code, c.at[0])
		}
		if got := list(); !slices.Equal(got, []string{"custom-a"}) {
			t.Errorf("locations after refusals %v", got)
		}
		_, err = r.DescribeFleetLocationAttributes(ctx, &gamelift.DescribeFleetLocationAttributesInput{FleetId: &id, NextToken: new("x")})
		expect.Refused(t, "token", err, invalid, "NextToken")

		want2 := []types.EventCode{
			types.EventCodeLocationStateDeleted, types.EventCodeLocationStateDeleting, types.EventCodeLocationStateDeleted, types.EventCodeLocationStateDeleting,
			types.EventCodeLocationStateActive, types.EventCodeLocationStateActive, types.EventCodeFleetStateActive, types.EventCodeFleetCreated,
		}
		if got := r.eventCodes(id); !slices.Equal(got, want2) {
			t.Errorf("events %v, want %v", got, want2)
		}
	})
}

func TestLocationsPerFleetQuota(t *testing.T) {
	each(t, func(r *rooms) {
		t := r.t
		var at []string
		for i := range 11 {
			at = append(at, "custom-"+strconv.Itoa(i))
		}
		r.location(at...)
		_, err := r.CreateFleet(t.Context(), anywhere(at...))
		expect.Refused(t, "create", err, overQuota, "10")
		id := r.fleet(at[:10]...)
		_, err = r.CreateFleetLocations(t.Context(), &gamelift.CreateFleetLocationsInput{FleetId: &id, Locations: anywhere(at[10]).Locations})
		expect.Refused(t, "add", err, overQuota, "10")
		r.Quotas.LocationsPerFleet = 11
		if _, err := r.CreateFleetLocations(t.Context(), &gamelift.CreateFleetLocationsInput{FleetId: &id, Locations: anywhere(at[10]).Locations}); err != nil {
			t.Error(err)
		}
	})
}
