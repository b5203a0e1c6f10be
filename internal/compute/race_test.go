package compute_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestDialsOfOneProcessAtOnce(t *testing.T) {
	dials := func(t *testing.T, r *rooms, nodes [2]*compute.Service) {
		r.register("one", east)
		d := r.dial("one", "p")
		var mu sync.Mutex
		numbers := map[int64]store.Key{}
		keys := map[store.Key]bool{}
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				p, err := nodes[n%2].Connect(t.Context(), d)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				numbers[p.Dial], keys[p.Key] = p.Key, true
			})
		}
		wg.Wait()
		expect.Same(t, "connections", len(numbers), 8)
		expect.Same(t, "processes", len(keys), 1)
		// All but the newest close late and in any order.
		for dial, key := range numbers {
			if dial < 8 {
				expect.OK(t, r.Disconnect(t.Context(), key, dial))
			}
		}
		expect.Same(t, "connected", r.read(compute.Process{Key: numbers[8]}).Connected, true)
	}
	each(t, func(t *testing.T, r *rooms) { dials(t, r, [2]*compute.Service{r.Service, r.Service}) })
	t.Run("two nodes", func(t *testing.T) {
		r, nodes := cluster(t)
		dials(t, r, nodes)
	})
}

// While a fleet is deleted others register, dial in, reserve and deregister on it: nothing
// is left behind, and every call either succeeds or says what is missing.
func TestFleetDeletedMeanwhile(t *testing.T) {
	r, nodes := cluster(t)
	for round := range 6 {
		r.fleet = r.newFleet(east, west)
		for _, name := range []string{"one", "two", "three"} {
			r.register(name, east)
			r.ready(name, "p")
		}
		d := r.dial("one", "late")
		gone := func(what string, err error) {
			api, _ := errors.AsType[smithy.APIError](err)
			no, _ := errors.AsType[*compute.Refused](err)
			switch {
			case err == nil, errors.Is(err, compute.ErrNoProcess), errors.Is(err, store.ErrNoRows):
			case api != nil && (api.ErrorCode() == missing || api.ErrorCode() == invalid):
			case no != nil && no.Status == 404:
			default:
				t.Errorf("round %d, %s: %v", round, what, err)
			}
		}
		var wg sync.WaitGroup
		for n, call := range []func(s *compute.Service) error{
			func(s *compute.Service) error {
				_, err := s.Fleets.DeleteFleet(t.Context(), &gamelift.DeleteFleetInput{FleetId: &r.fleet})
				return err
			},
			func(s *compute.Service) error {
				_, err := s.RegisterCompute(t.Context(), registration(r.fleet, "new", west))
				return err
			},
			func(s *compute.Service) error {
				_, err := s.Connect(t.Context(), d)
				return err
			},
			func(s *compute.Service) error {
				_, err := reserve(t, s, r.fleet, east)
				return err
			},
			func(s *compute.Service) error {
				_, err := s.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &r.fleet, ComputeName: new("two")})
				return err
			},
			func(s *compute.Service) error {
				_, err := s.Fleets.DeleteFleetLocations(t.Context(), &gamelift.DeleteFleetLocationsInput{FleetId: &r.fleet, Locations: []string{string(east)}})
				return err
			},
		} {
			wg.Go(func() { gone(fmt.Sprint("call ", n), call(nodes[n%2])) })
		}
		wg.Wait()
		expect.OK(t, r.DB.Read(t.Context(), func(tx *store.Tx) error {
			var left int
			if err := tx.QueryRow(`SELECT (SELECT count(*) FROM compute) + (SELECT count(*) FROM compute_token)
				+ (SELECT count(*) FROM process WHERE status <> 'ENDED') + (SELECT count(*) FROM compute_quota)`).Scan(&left); err != nil {
				return err
			}
			expect.Same(t, fmt.Sprintf("round %d: left behind", round), left, 0)
			return nil
		}))
	}
}
