package testkit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/testkit"
)

func TestClientsInBothProtocolsOnBothDatabases(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		ctx := t.Context()
		made, err := s.Client.CreateLocation(ctx, &gamelift.CreateLocationInput{
			LocationName: new("custom-home"), Tags: []types.Tag{{Key: new("owner"), Value: new("ann")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if name := *made.Location.LocationName; name != "custom-home" {
			t.Errorf("made location %q", name)
		}
		_, err = s.Client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("custom-home")})
		if e, ok := errors.AsType[*types.ConflictException](err); !ok || e.ErrorMessage() == "" {
			t.Errorf("the same location again: %v, want a ConflictException with a message", err)
		}
		// A broken constraint is the server's to find, in either protocol.
		_, err = s.Client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new("home")})
		if _, ok := errors.AsType[*types.InvalidRequestException](err); !ok {
			t.Errorf("a name without custom-: %v, want an InvalidRequestException", err)
		}
	})
}

func TestAdvanceMovesTheServersTimeAndNoOther(t *testing.T) {
	s := testkit.Start(t, testkit.Options{})
	before := s.App.Now()
	if d := time.Since(before).Abs(); d > time.Minute {
		t.Errorf("the clock starts %s off the wall clock", d)
	}
	s.Advance(48 * time.Hour)
	if got := s.App.Now().Sub(before); got != 48*time.Hour {
		t.Errorf("the clock moved by %s, want 48h", got)
	}
}
