package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/paginate"
)

// host makes a fleet of one computer and starts two game servers on it.
func (t *tour) host(ctx context.Context) error {
	t.step("A fleet on one's own computer, and two game servers on the official server SDK (%s)", t.url)
	if _, err := t.api.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: new(location)}); err != nil {
		return err
	}
	fleet, err := t.api.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name:        new("demo"),
		ComputeType: types.ComputeTypeAnywhere,
		Locations:   []types.LocationConfiguration{{Location: new(location)}},
	})
	if err != nil {
		return err
	}
	t.fleet = *fleet.FleetAttributes.FleetId
	t.say("fleet %s is %s", t.fleet, fleet.FleetAttributes.Status)
	c, err := t.api.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
		FleetId: &t.fleet, ComputeName: new(computer), IpAddress: new("127.0.0.1"), Location: new(location),
	})
	if err != nil {
		return err
	}
	token, err := t.api.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: &t.fleet, ComputeName: new(computer)})
	if err != nil {
		return err
	}
	for _, name := range []string{"arena-1", "arena-2"} {
		if _, err := t.startGame(ctx, name, *c.Compute.GameLiftServiceSdkEndpoint, *token.AuthToken); err != nil {
			return err
		}
	}
	return nil
}

// play has a game server host a game session with a player in every slot.
func (t *tour) play(ctx context.Context) error {
	t.step("A game session with %d slots, and a player for each", slots)
	var made *gamelift.CreateGameSessionOutput
	// A game server is there for a game session once it has reported to be healthy.
	err := eventually(ctx, "a game server is ready", func(ctx context.Context) (done bool, err error) {
		made, err = t.api.CreateGameSession(ctx, &gamelift.CreateGameSessionInput{
			FleetId: &t.fleet, Location: new(location), MaximumPlayerSessionCount: new(int32(slots)),
			Name: new("friday night"), GameProperties: []types.GameProperty{{Key: new("map"), Value: new("harbour")}},
		})
		if _, ok := errors.AsType[*types.FleetCapacityExceededException](err); ok {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	t.session = *made.GameSession.GameSessionId
	t.address = net.JoinHostPort(*made.GameSession.IpAddress, strconv.Itoa(int(*made.GameSession.Port)))
	if err := eventually(ctx, "the game session is ACTIVE", t.active); err != nil {
		return err
	}
	reserved, err := t.api.CreatePlayerSessions(ctx, &gamelift.CreatePlayerSessionsInput{
		GameSessionId: &t.session,
		PlayerIds:     []string{"anna", "ben", "carla", "dora"},
		PlayerDataMap: map[string]string{"anna": `{"skin":"red"}`},
	})
	if err != nil {
		return err
	}
	t.say("reserved %d of %d slots", len(reserved.PlayerSessions), slots)
	_, err = t.api.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &t.session, PlayerId: new("emil")})
	if full, ok := errors.AsType[*types.GameSessionFullException](err); ok {
		t.say("emil is refused: %s", full.ErrorMessage())
	} else {
		return fmt.Errorf("a fifth player: got %w, want GameSessionFullException", err)
	}
	for _, p := range reserved.PlayerSessions[:3] { // dora never comes
		in, err := join(ctx, t.address, *p.PlayerSessionId)
		if err != nil {
			return err
		}
		t.players = append(t.players, in)
	}
	if err := t.players[2].conn.Close(); err != nil { // carla goes
		return err
	}
	return eventually(ctx, "carla's player session is COMPLETED", func(ctx context.Context) (bool, error) {
		return t.is(ctx, *reserved.PlayerSessions[2].PlayerSessionId, types.PlayerSessionStatusCompleted)
	})
}

func (t *tour) active(ctx context.Context) (bool, error) {
	out, err := t.api.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{GameSessionId: &t.session})
	if err != nil {
		return false, err
	}
	return len(out.GameSessions) == 1 && out.GameSessions[0].Status == types.GameSessionStatusActive, nil
}

func (t *tour) is(ctx context.Context, playerSession string, want types.PlayerSessionStatus) (bool, error) {
	out, err := t.api.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{PlayerSessionId: &playerSession})
	if err != nil {
		return false, err
	}
	return len(out.PlayerSessions) == 1 && out.PlayerSessions[0].Status == want, nil
}

// expire lets a minute pass, in which dora does not come.
func (t *tour) expire(ctx context.Context) error {
	t.step("%d seconds pass at once: dora's reservation times out, and emil gets the slot", int(turn/time.Second))
	if err := t.advance(ctx, turn); err != nil {
		return err
	}
	p, err := t.api.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: &t.session, PlayerId: new("emil")})
	if err != nil {
		return err
	}
	t.say("emil has %s", *p.PlayerSession.PlayerSessionId)
	return nil
}

// read pages through the game session's players as boto3's paginator does: pages of two, a
// token in the middle of the second one, and on from there.
func (t *tour) read(ctx context.Context) error {
	t.step("DescribePlayerSessions, PageSize 2: MaxItems 3, and the rest with its StartingToken")
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "   PLAYER\tSTATUS\tCREATED\tTERMINATED\tADDRESS\tPLAYER SESSION")
	var n, cut int
	token := ""
	for most := 3; ; most = 0 {
		pages, err := paginate.New(paginate.DescribePlayerSessions, t.api,
			&gamelift.DescribePlayerSessionsInput{GameSessionId: &t.session},
			paginate.Options{PageSize: 2, MaxItems: most, StartingToken: token})
		if err != nil {
			return err
		}
		for p, err := range pages.Items(ctx) {
			if err != nil {
				return err
			}
			n++
			_, _ = fmt.Fprintf(table, "   %s\t%s\t%s\t%s\t%s:%d\t%s\n", *p.PlayerId, p.Status,
				clock(p.CreationTime), clock(p.TerminationTime), *p.IpAddress, *p.Port, *p.PlayerSessionId)
		}
		next, more := pages.ResumeToken()
		if !more {
			break
		}
		token, cut = next, n
	}
	if err := table.Flush(); err != nil {
		return err
	}
	t.say("the first %d came with NextToken %s", cut, token)
	if n != slots+1 {
		return fmt.Errorf("the paginator gave %d player sessions, want %d", n, slots+1)
	}
	return nil
}

func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.TimeOnly)
}

// end ends the game session through the API; the game server ends with it.
func (t *tour) end(ctx context.Context) error {
	t.step("TerminateGameSession: the game server is asked to end, and does")
	if _, err := t.api.TerminateGameSession(ctx, &gamelift.TerminateGameSessionInput{
		GameSessionId: &t.session, TerminationMode: types.TerminationModeTriggerOnProcessTerminate,
	}); err != nil {
		return err
	}
	hosting, err := t.hosting(ctx)
	if err != nil {
		return err
	}
	if err := hosting.ended(ctx); err != nil {
		return err
	}
	return eventually(ctx, "the game session is TERMINATED", func(ctx context.Context) (bool, error) {
		out, err := t.api.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{GameSessionId: &t.session})
		if err != nil || len(out.GameSessions) != 1 {
			return false, err
		}
		s := out.GameSessions[0]
		if s.Status != types.GameSessionStatusTerminated {
			return false, nil
		}
		t.say("the game session is %s (%s), with %d players", s.Status, s.StatusReason, *s.CurrentPlayerSessionCount)
		return true, nil
	})
}

// hosting is the game server that ended first, which is the one that hosted the game.
func (t *tour) hosting(ctx context.Context) (*game, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first := make(chan *game, len(t.games))
	for _, g := range t.games {
		go func() {
			select {
			case <-g.exited:
				first <- g
			case <-ctx.Done():
			}
		}()
	}
	select {
	case g := <-first:
		return g, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no game server has ended: %w", ctx.Err())
	}
}
