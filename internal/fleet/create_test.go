package fleet_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

func TestAnAnywhereFleetIsActiveAtOnce(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a", "custom-b")

		out, err := r.CreateFleet(t.Context(), anywhere("custom-b", "custom-a"))
		if err != nil {
			t.Fatal(err)
		}

		a := out.FleetAttributes
		want := &types.FleetAttributes{
			FleetId:                  a.FleetId,
			FleetArn:                 new("arn:aws:gamelift:us-west-2:123456789012:fleet/" + *a.FleetId),
			Name:                     new("arena"),
			Status:                   types.FleetStatusActive,
			ComputeType:              types.ComputeTypeAnywhere,
			CreationTime:             new(r.clock.Now()),
			CertificateConfiguration: &types.CertificateConfiguration{CertificateType: types.CertificateTypeDisabled},
			MetricGroups:             []string{"default"},
		}
		if !strings.HasPrefix(*a.FleetId, "fleet-") || !reflect.DeepEqual(a, want) {
			t.Errorf("attributes %s, want %s", show(a), show(want))
		}
		states := []types.LocationState{
			{Location: new("custom-b"), Status: types.FleetStatusActive},
			{Location: new("custom-a"), Status: types.FleetStatusActive},
		}
		if !reflect.DeepEqual(out.LocationStates, states) {
			t.Errorf("locations %s, want %s", show(out.LocationStates), show(states))
		}
	})
}

func TestOtherRoomsReadFleets(t *testing.T) {
	each(t, func(r *rooms) {
		r.location("custom-a", "custom-b")
		id := arn.FleetID(r.fleet("custom-a"))
		r.write(func(tx *store.Tx) error {
			for name, get := range map[string]func(*store.Tx, arn.FleetID) (fleet.Fleet, error){"GetTx": r.GetTx, "HoldTx": r.HoldTx} {
				f, err := get(tx, id)
				if err != nil || f.ID != id || f.Status != types.FleetStatusActive || f.ComputeType != types.ComputeTypeAnywhere {
					t.Errorf("%s = %+v, %v", name, f, err)
				}
				for _, other := range []arn.FleetID{"fleet-x", id[:len(id)-1] + "x", "container" + id, "fleet-01234567-89ab-7def-8123-456789abcdef"} {
					if _, err := get(tx, other); !errors.Is(err, store.ErrNoRows) {
						t.Errorf("%s(%s): %v, want ErrNoRows", name, other, err)
					}
				}
			}
			if status, err := r.LocationTx(tx, id, "custom-a"); err != nil || status != types.FleetStatusActive {
				t.Errorf("LocationTx = %s, %v", status, err)
			}
			if _, err := r.LocationTx(tx, id, "custom-b"); !errors.Is(err, store.ErrNoRows) {
				t.Errorf("LocationTx of another location: %v, want ErrNoRows", err)
			}
			if _, err := r.LocationTx(tx, "fleet-x", "custom-a"); !errors.Is(err, store.ErrNoRows) {
				t.Errorf("LocationTx of another fleet: %v, want ErrNoRows", err)
			}
			return nil
		})
	})
}
