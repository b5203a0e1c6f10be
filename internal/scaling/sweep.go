package scaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

// Tick looks at every location that has policies, once in each minute of the clock; minutes
// that passed unseen are not made up for. A fleet's look is one transaction. And it records
// the history of capacity.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	return errors.Join(s.decide(ctx, now), s.record(ctx, now))
}

func (s *Service) decide(ctx context.Context, now time.Time) error {
	minute := now.Unix() / 60
	var fleets []arn.FleetID
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		fleets = nil
		n, err := tx.Exec(`UPDATE scaling_clock SET minute = $1 WHERE id = 1 AND minute < $1 AND EXISTS (SELECT 1 FROM scaling_policy)`, minute)
		if err != nil || n == 0 {
			return err
		}
		fleets, err = s.fleetsTx(tx)
		return err
	})
	for _, id := range fleets {
		if err != nil {
			return err
		}
		err = s.DB.Write(ctx, func(tx *store.Tx) error { return s.lookTx(tx, id) })
	}
	return err
}

// Due is the beginning of the next minute while there are policies, and now when this minute
// was not looked at yet. The history has no say in it: a manual clock does not stop for it.
func (s *Service) Due(ctx context.Context) (due time.Time, ok bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var minute, policies int64
		err := tx.QueryRow(`SELECT minute, (SELECT COUNT(*) FROM scaling_policy) FROM scaling_clock WHERE id = 1`).Scan(&minute, &policies)
		due, ok = time.Unix((minute+1)*60, 0).UTC(), policies > 0
		if due.Before(tx.Now) {
			due = tx.Now
		}
		return err
	})
	return due, ok, err
}

// fleetsTx are the fleets that have policies.
func (s *Service) fleetsTx(tx *store.Tx) ([]arn.FleetID, error) {
	wants, err := s.Fleets.WantsTx(tx)
	if err != nil {
		return nil, err
	}
	with, err := store.Set[store.Key](tx.Query(`SELECT DISTINCT fleet FROM scaling_policy`))
	if err != nil {
		return nil, err
	}
	var ids []arn.FleetID
	for _, w := range wants {
		if with[w.Fleet.Key] {
			ids, with[w.Fleet.Key] = append(ids, w.Fleet.ID), false
		}
	}
	return ids, nil
}

// lookTx decides about the locations of one fleet.
func (s *Service) lookTx(tx *store.Tx, id arn.FleetID) error {
	f, err := s.Fleets.GetTx(tx, id)
	if err != nil || f.Status != types.FleetStatusActive {
		return ignore(err)
	}
	policies, err := policiesTx(tx, f.Key)
	if err != nil || len(policies) == 0 {
		return err
	}
	samples, err := s.Measure(tx, f)
	if err != nil {
		return err
	}
	states, err := s.Fleets.PlacesTx(tx, f)
	if err != nil {
		return err
	}
	for _, l := range states {
		sample, measured := samples[arn.Location(*l.Location)]
		if l.Status != types.FleetStatusActive || !measured {
			continue
		}
		if err := s.decideTx(tx, f, arn.Location(*l.Location), policies, sample); err != nil {
			return err
		}
	}
	return nil
}

// decideTx decides about one location, unless its scaling is stopped: then what policies
// remember is void. A location without instances is left to the strategy that starts them
// (hosting.md 2.7), if it has that.
func (s *Service) decideTx(tx *store.Tx, f fleet.Fleet, at arn.Location, policies []Policy, sample Sample) error {
	c, err := s.Fleets.CapacityTx(tx, f.ID, at)
	if err != nil {
		return ignore(err)
	}
	if c.Stopped || c.Zero == types.ZeroCapacityStrategyScaleToAndFromZero && c.Desired == 0 {
		_, err := tx.Exec(`DELETE FROM scaling_memory WHERE fleet = $1 AND location = $2`, f.Key, at)
		return err
	}
	memories, err := memoriesTx(tx, f.Key, at, policies)
	if err != nil {
		return err
	}
	before := append([]Memory(nil), memories...)
	d := Decide(tx.Now, Location{Desired: int(c.Desired), Min: int(c.Min), Max: int(c.Max), Sample: sample}, policies, memories, s.Settings)
	for i, m := range memories {
		if m != before[i] {
			if err := rememberTx(tx, f.Key, at, policies[i].Name, m); err != nil {
				return err
			}
		}
	}
	if d.Desired == int(c.Desired) {
		return nil
	}
	return s.Fleets.SetDesiredTx(tx, f.ID, at, int32(d.Desired), d.Why)
}

// ignore passes over a fleet or location that is gone meanwhile.
func ignore(err error) error {
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	return err
}

// memoriesTx are what policies remember of a location, one a policy.
func memoriesTx(tx *store.Tx, f store.Key, at arn.Location, policies []Policy) ([]Memory, error) {
	rows, err := tx.Query(`SELECT name, detail FROM scaling_memory WHERE fleet = $1 AND location = $2`, f, at)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := map[string]string{}
	for rows.Next() {
		var name, detail string
		if err := rows.Scan(&name, &detail); err != nil {
			return nil, err
		}
		stored[name] = detail
	}
	memories := make([]Memory, len(policies))
	for i, p := range policies {
		if detail, ok := stored[p.Name]; ok {
			if err := json.Unmarshal([]byte(detail), &memories[i]); err != nil {
				return nil, fmt.Errorf("memory of scaling policy %s: %w", p.Name, err)
			}
		}
	}
	return memories, rows.Err()
}

func rememberTx(tx *store.Tx, f store.Key, at arn.Location, name string, m Memory) error {
	detail, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO scaling_memory (fleet, location, name, detail) VALUES ($1, $2, $3, $4)
		ON CONFLICT (fleet, location, name) DO UPDATE SET detail = excluded.detail`, f, at, name, string(detail))
	return err
}
