package session

import (
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/store"
)

// This file is what the matchmaking room needs: to know the game sessions its matches are
// in, and to add players to them.

// Matched is a game session as a matchmaker sees it.
type Matched struct {
	Key        store.Key
	ARN        arn.GameSessionID
	Process    store.Key
	Status     types.GameSessionStatus
	IP         string
	DNS        *string
	Port       int32
	Players    int32 // slots taken
	Maximum    int32
	Matchmaker *string // MatchmakerData

	game game
}

// Open tells whether players can be added to the game session.
func (m Matched) Open() bool {
	return m.Status == active && m.game.policy != types.PlayerSessionCreationPolicyDenyAll
}

// MatchedTx reads the game session of an ARN; store.ErrNoRows when there is none.
func (s *Service) MatchedTx(tx *store.Tx, id string) (Matched, error) {
	g, err := findGame(tx, id, "")
	return s.matched(g), err
}

// MatchedByKeyTx reads a game session; store.ErrNoRows when it is gone.
func (s *Service) MatchedByKeyTx(tx *store.Tx, key store.Key) (Matched, error) {
	g, err := scanGame(tx.QueryRow(`SELECT `+gameColumns+gameTables+`WHERE g.key = $1`, key))
	return s.matched(g), err
}

// HoldMatchedTx reads a game session and locks it, after its compute; store.ErrNoRows when it
// is gone.
func (s *Service) HoldMatchedTx(tx *store.Tx, key store.Key) (Matched, error) {
	var process store.Key
	if err := tx.QueryRow(`SELECT process FROM game_session WHERE key = $1`, key).Scan(&process); err != nil {
		return Matched{}, err
	}
	if err := s.Computes.HoldTx(tx, process); err != nil {
		return Matched{}, err
	}
	g, err := scanGame(tx.QueryRow(`SELECT `+gameColumns+gameTables+`WHERE g.key = $1`+lockOf(tx), key))
	return s.matched(g), err
}

func (s *Service) matched(g game) Matched {
	return Matched{
		Key: g.key, ARN: s.gameARN(g), Process: g.process, Status: g.status, IP: g.ip, DNS: g.dns, Port: g.port,
		Players: g.players, Maximum: g.maximum, Matchmaker: g.matchmaker, game: g,
	}
}

// BackfillTx adds players to a game session that is held, writes its new MatchmakerData and
// tells its process. It returns the ids of the player sessions, in order. ok is false when
// the game session takes no players or has not so many free slots; then nothing is changed.
func (s *Service) BackfillTx(tx *store.Tx, m Matched, players []Seat, matchmaker, ticket string) (ids []string, ok bool, err error) {
	if !m.Open() || int(m.Players)+len(players) > int(m.Maximum) {
		return nil, false, nil
	}
	all, err := s.SeatTx(tx, []Seats{{m.Key, players}})
	if err != nil {
		return nil, false, err
	}
	if err := s.RewriteMatchmakerTx(tx, m.Key, matchmaker); err != nil {
		return nil, false, err
	}
	m.game.matchmaker = &matchmaker
	return all[0], true, s.TellBackfillTx(tx, m, compute.MatchmakingDataUpdated, ticket)
}

// RewriteMatchmakerTx writes the MatchmakerData of a game session that is held. Its process is
// not told.
func (s *Service) RewriteMatchmakerTx(tx *store.Tx, game store.Key, matchmaker string) error {
	_, err := tx.Exec(`UPDATE game_session_text SET matchmaker = $2 WHERE game = $1`, game, matchmaker)
	return err
}

// TellBackfillTx tells the process of a game session what became of its backfill ticket. A
// game session that has ended is not told.
func (s *Service) TellBackfillTx(tx *store.Tx, m Matched, why compute.UpdateReason, ticket string) error {
	g := m.game
	if g.endedAt != nil {
		return nil
	}
	u := compute.UpdatedGameSession{
		GameSessionID: string(m.ARN), Name: g.name, FleetID: string(g.fleet), Location: string(g.location), Status: string(g.status),
		StatusReason: g.reason, MaximumPlayerSessionCount: g.maximum, IPAddress: &g.ip, DNSName: g.dns, Port: g.port,
		GameSessionData: g.data, MatchmakerData: g.matchmaker, GameProperties: map[string]string{},
	}
	for _, p := range g.properties {
		u.GameProperties[*p.Key] = *p.Value
	}
	return s.Computes.SendTx(tx, g.process, compute.UpdateGameSession{GameSession: u, UpdateReason: why, BackfillTicketID: &ticket})
}

// ProcessGameTx reads the game session that a process hosts; store.ErrNoRows when it hosts
// none.
func (s *Service) ProcessGameTx(tx *store.Tx, process store.Key) (Matched, error) {
	g, err := gameByProcess(tx, process, "")
	return s.matched(g), err
}

// EndedTx tells which of the game sessions have ended or are gone.
func (s *Service) EndedTx(tx *store.Tx, games []store.Key) (map[store.Key]bool, error) {
	list := make([]int64, len(games))
	ended := make(map[store.Key]bool, len(games))
	for i, k := range games {
		list[i], ended[k] = int64(k), true
	}
	rows, err := tx.Query(`SELECT key FROM game_session WHERE `+tx.In("key", 1)+` AND ended_at IS NULL`, store.List(tx, list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key store.Key
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		delete(ended, key)
	}
	return ended, rows.Err()
}

// PresentTx tells which of the player sessions are RESERVED or ACTIVE.
func (s *Service) PresentTx(tx *store.Tx, ids []string) (map[string]bool, error) {
	present := make(map[string]bool, len(ids))
	var keys []int64
	for _, id := range ids {
		if key, _, ok := parsePlayerSession(id); ok {
			keys = append(keys, int64(key))
		}
	}
	if len(keys) == 0 {
		return present, nil
	}
	rows, err := tx.Query(`SELECT `+playerColumns+` FROM player_session p WHERE `+tx.In("p.key", 1), store.List(tx, keys))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p player
		if err := scanPlayer(rows, &p); err != nil {
			return nil, err
		}
		if st := p.statusAt(tx.NowMs()); st == reserved || st == joinedIn {
			present[playerSessionID(p.key, p.tail)] = true
		}
	}
	return present, rows.Err()
}

// AttendingTx are the ids of the players who have a RESERVED or ACTIVE player session in a
// game session.
func (s *Service) AttendingTx(tx *store.Tx, game store.Key) (map[string]bool, error) {
	rows, err := tx.Query(`SELECT `+playerColumns+` FROM player_session p WHERE p.game = $1 AND p.ended_at IS NULL`, game)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	there := map[string]bool{}
	for rows.Next() {
		var p player
		if err := scanPlayer(rows, &p); err != nil {
			return nil, err
		}
		if st := p.statusAt(tx.NowMs()); st == reserved || st == joinedIn {
			there[p.id] = true
		}
	}
	return there, rows.Err()
}
