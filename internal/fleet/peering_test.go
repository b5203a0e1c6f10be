package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/expect"
)

func TestVpcPeering(t *testing.T) {
	each(t, func(r *rooms) {
		t, ctx := r.t, r.t.Context()
		r.location("custom-a")
		id := string(r.active())
		permit := &gamelift.CreateVpcPeeringAuthorizationInput{GameLiftAwsAccountId: &home.Account, PeerVpcId: new("vpc-1")}
		connect := func() error {
			_, err := r.CreateVpcPeeringConnection(ctx, &gamelift.CreateVpcPeeringConnectionInput{FleetId: &id, PeerVpcId: new("vpc-1"), PeerVpcAwsAccountId: &home.Account})
			return err
		}
		permits := func() []types.VpcPeeringAuthorization {
			t.Helper()
			out, err := r.DescribeVpcPeeringAuthorizations(ctx, &gamelift.DescribeVpcPeeringAuthorizationsInput{})
			if err != nil || out.VpcPeeringAuthorizations == nil {
				t.Fatalf("DescribeVpcPeeringAuthorizations = %s, %v", expect.JSON(out), err)
			}
			return out.VpcPeeringAuthorizations
		}
		peerings := func(of *string) []types.VpcPeeringConnection {
			t.Helper()
			out, err := r.DescribeVpcPeeringConnections(ctx, &gamelift.DescribeVpcPeeringConnectionsInput{FleetId: of})
			if err != nil || out.VpcPeeringConnections == nil {
				t.Fatalf("DescribeVpcPeeringConnections = %s, %v", expect.JSON(out), err)
			}
			return out.VpcPeeringConnections
		}

		expect.Refused(t, "connect without a permit", connect(), missing, "authorization")
		made, err := r.CreateVpcPeeringAuthorization(ctx, permit)
		want := types.VpcPeeringAuthorization{
			GameLiftAwsAccountId: &home.Account, PeerVpcAwsAccountId: &home.Account, PeerVpcId: new("vpc-1"),
			CreationTime: new(r.clock.Now()), ExpirationTime: new(r.clock.Now().Add(24 * time.Hour)),
		}
		if err != nil || expect.JSON(made.VpcPeeringAuthorization) != expect.JSON(want) {
			t.Fatalf("CreateVpcPeeringAuthorization = %s, %v, want %s", expect.JSON(made), err, expect.JSON(want))
		}
		if got := permits(); len(got) != 1 || expect.JSON(got[0]) != expect.JSON(want) {
			t.Errorf("permits %s, want %s", expect.JSON(got), expect.JSON(want))
		}
		_, err = r.CreateVpcPeeringConnection(ctx, &gamelift.CreateVpcPeeringConnectionInput{FleetId: &id, PeerVpcId: new("vpc-1"), PeerVpcAwsAccountId: new("999999999999")})
		expect.Refused(t, "connect to another owner", err, missing)
		if err := connect(); err != nil {
			t.Fatal(err)
		}
		expect.Refused(t, "connect twice", connect(), invalid, "vpc-1")
		list := peerings(&id)
		if len(list) != 1 || *list[0].FleetId != id || *list[0].FleetArn != home.Fleet(arn.FleetID(id)) || *list[0].PeerVpcId != "vpc-1" ||
			*list[0].Status.Code != "active" || list[0].IpV4CidrBlock == nil || expect.JSON(list) != expect.JSON(peerings(nil)) {
			t.Fatalf("peerings %s", expect.JSON(list))
		}
		other := r.fleet("custom-a")
		if got := peerings(&other); len(got) != 0 {
			t.Errorf("peerings of another fleet %s", expect.JSON(got))
		}

		// 24 hours later the permit is over, and the peering stays until there is a new one.
		r.clock.Advance(24 * time.Hour)
		if got := permits(); len(got) != 0 {
			t.Errorf("expired permits %s", expect.JSON(got))
		}
		disconnect := func(pcx *string) error {
			_, err := r.DeleteVpcPeeringConnection(ctx, &gamelift.DeleteVpcPeeringConnectionInput{FleetId: &id, VpcPeeringConnectionId: pcx})
			return err
		}
		expect.Refused(t, "disconnect without a permit", disconnect(list[0].VpcPeeringConnectionId), missing, "authorization")
		_, err = r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &id})
		expect.Refused(t, "delete the fleet without a permit", err, invalid, id, "authorization")
		revoke := &gamelift.DeleteVpcPeeringAuthorizationInput{GameLiftAwsAccountId: &home.Account, PeerVpcId: new("vpc-1")}
		_, err = r.DeleteVpcPeeringAuthorization(ctx, revoke)
		expect.Refused(t, "revoke an expired permit", err, missing)
		if _, err := r.CreateVpcPeeringAuthorization(ctx, permit); err != nil {
			t.Fatal(err)
		}
		expect.Refused(t, "disconnect another", disconnect(new("pcx-1")), missing, "pcx-1")
		if err := disconnect(list[0].VpcPeeringConnectionId); err != nil {
			t.Fatal(err)
		}
		if err := connect(); err != nil {
			t.Fatal(err)
		}
		codes := r.eventCodes(id)[:3]
		if want := []types.EventCode{types.EventCodeFleetVpcPeeringSucceeded, types.EventCodeFleetVpcPeeringDeleted, types.EventCodeFleetVpcPeeringSucceeded}; !slices.Equal(codes, want) {
			t.Errorf("events %v, want %v", codes, want)
		}
		if _, err := r.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: &id}); err != nil {
			t.Fatal(err)
		}
		if got := peerings(nil); len(got) != 0 {
			t.Errorf("peerings after the fleet's deletion %s", expect.JSON(got))
		}
		if _, err := r.DeleteVpcPeeringAuthorization(ctx, revoke); err != nil {
			t.Fatal(err)
		}
		_, err = r.DeleteVpcPeeringAuthorization(ctx, revoke)
		expect.Refused(t, "revoke twice", err, missing)
	})
}
