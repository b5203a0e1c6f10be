package session

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// Activate is a process's ActivateGameSession. Once the game session is ACTIVE it has no
// more effect; after the activation timeout it is refused, swept or not. The calls of many
// processes share a transaction.
func (s *Service) Activate(ctx context.Context, process store.Key, gameSession string) error {
	id, ok := parseGame(gameSession)
	if !ok {
		return noGame(gameSession)
	}
	s.activateOnce.Do(func() { s.activations.DB, s.activations.Run = s.DB, s.activateTx })
	for range settleTries {
		_, err := s.activations.Do(ctx, activation{process, gameSession, id})
		if !errors.Is(err, errRaced) {
			return err
		}
	}
	return errRaced
}

// activation is one process's call.
type activation struct {
	process store.Key
	name    string // the game session as the process wrote it
	game    arn.GameSessionParts
}

// activateTx answers many processes.
func (s *Service) activateTx(tx *store.Tx, calls []activation) ([]struct{}, []error, error) {
	games, err := startingGames(tx, calls)
	if err != nil {
		return nil, nil, err
	}
	out, errs := make([]struct{}, len(calls)), make([]error, len(calls))
	var keys, processes []store.Key
	var taken []*startingGame
	for i, c := range calls {
		g := games[gameName{c.game.Fleet, c.game.ID}]
		if errs[i] = g.admitActivation(c, tx.NowMs()); errs[i] != nil || g.status == active || g.taken {
			continue
		}
		g.taken = true
		keys, processes, taken = append(keys, g.key), append(processes, g.process), append(taken, g)
	}
	if len(keys) == 0 {
		return out, errs, nil
	}
	// Computes are locked before game sessions; what was read above may have changed.
	if err := s.Computes.ActivatedManyTx(tx, processes); err != nil {
		return nil, nil, err
	}
	if err := activateGames(tx, keys); err != nil {
		return nil, nil, err
	}
	if err := s.hostingTx(tx, processes, taken); err != nil {
		return nil, nil, err
	}
	if s.Activated != nil {
		err = s.Activated(tx, keys)
	}
	return out, errs, err
}

// startingGame is what an activation needs of a game session's row.
type startingGame struct {
	key      store.Key
	fleet    arn.FleetID
	id       string
	location arn.Location
	status   types.GameSessionStatus
	process  store.Key
	deadline *int64
	taken    bool // by an earlier call of the same transaction
}

func (g *startingGame) admitActivation(c activation, now int64) error {
	switch {
	case g == nil, c.game.Location != "" && c.game.Location != g.location:
		return noGame(c.name)
	case g.process != c.process:
		return apierr.InvalidRequest("GameSessionId: game session %s runs on another process", c.name)
	case g.status == active:
		return nil
	case !may(g.status, active) || *g.deadline <= now:
		return apierr.InvalidGameSessionStatus("GameSessionId: game session %s is %s or its activation timed out, and cannot become ACTIVE", c.name, g.status)
	}
	return nil
}

func startingGames(tx *store.Tx, calls []activation) (map[gameName]*startingGame, error) {
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.game.ID
	}
	rows, err := tx.Query(`SELECT key, id, fleet_id, location, status, process, deadline FROM game_session WHERE `+tx.In("id", 1), store.List(tx, ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	games := make(map[gameName]*startingGame, len(calls))
	for rows.Next() {
		var name gameName
		g := &startingGame{}
		if err := rows.Scan(&g.key, &name.id, &name.fleet, &g.location, &g.status, &g.process, &g.deadline); err != nil {
			return nil, err
		}
		g.fleet, g.id = name.fleet, name.id
		games[name] = g
	}
	return games, rows.Err()
}

// activateGames makes game sessions ACTIVE, in the order of their keys. The error is errRaced
// when one of them is not ACTIVATING any more.
func activateGames(tx *store.Tx, keys []store.Key) error {
	list := make([]int64, len(keys))
	for i, k := range keys {
		list[i] = int64(k)
	}
	if err := lockGames(tx, list); err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE game_session SET status = $2, deadline = NULL WHERE `+tx.In("key", 1)+` AND status = $3 AND deadline > $4`,
		store.List(tx, list), active, activating, tx.NowMs())
	if err == nil && n != int64(len(keys)) {
		err = errRaced
	}
	return err
}
