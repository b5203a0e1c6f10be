package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/model"
	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/model/request"
	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/server"
)

// service is what the game asks of GameLift.
type service interface {
	accept(playerSession string) error
	remove(playerSession string) error
	players() ([]seat, error)
	open(yes bool) error // may new player sessions be created?
	backfill(game, configuration string, players []model.Player) (ticket string, err error)
	stopBackfill(game, configuration, ticket string) error
}

// seat is a player session.
type seat struct{ session, player, status string }

// sdk is the service by the server SDK.
type sdk struct{}

func (sdk) accept(id string) error { return server.AcceptPlayerSession(id) }
func (sdk) remove(id string) error { return server.RemovePlayerSession(id) }

func (sdk) open(yes bool) error {
	if yes {
		return server.UpdatePlayerSessionCreationPolicy(model.AcceptAll)
	}
	return server.UpdatePlayerSessionCreationPolicy(model.DenyAll)
}

func (sdk) backfill(game, configuration string, players []model.Player) (string, error) {
	r, err := server.StartMatchBackfill(request.NewStartMatchBackfill(game, configuration, players))
	return r.TicketID, err
}

func (sdk) stopBackfill(game, configuration, ticket string) error {
	r := request.NewStopMatchBackfill()
	r.GameSessionArn, r.MatchmakingConfigurationArn, r.TicketID = game, configuration, ticket
	return server.StopMatchBackfill(r)
}

func (sdk) players() ([]seat, error) {
	session, err := server.GetGameSessionID()
	if err != nil {
		return nil, err
	}
	var all []seat
	for token := ""; ; {
		q := request.NewDescribePlayerSessions() // a new one for each page: it carries the request's id
		q.GameSessionID = session
		q.Limit = 10
		q.NextToken = token
		page, err := server.DescribePlayerSessions(q)
		if err != nil {
			return nil, err
		}
		for _, p := range page.PlayerSessions {
			s := seat{session: p.PlayerSessionID, player: p.PlayerID}
			if p.Status != nil {
				s.status = p.Status.String()
			}
			all = append(all, s)
		}
		if token = page.NextToken; token == "" {
			return all, nil
		}
	}
}

// game is the room. Each connection is one player, who speaks lines:
//
//	JOIN <player session id>   be let in
//	SAY <text>                 talk to all
//	WHO                        list player sessions, as the service knows them
//	TEAMS                      list the players of the match with their teams
//	BACKFILL, NOBACKFILL       ask the matchmaker for new players, take that back
//	LOCK, UNLOCK               close the room to new player sessions, open it again
//	SICK, WELL                 change what the health check reports
//	LEAVE                      go; so does closing the connection
//	END                        end the game for all
type game struct {
	service      service
	print        func(format string, args ...any)
	end          func(why string)
	endWhenEmpty bool
	match        *match

	mu     sync.Mutex
	conns  map[net.Conn]string // player session id, "" before JOIN
	sick   bool
	closed bool
	wg     sync.WaitGroup
}

func newGame(s service, print func(string, ...any), end func(string), endWhenEmpty bool) *game {
	return &game{
		service: s, print: print, end: end, endWhenEmpty: endWhenEmpty,
		match: &match{service: s, print: print}, conns: map[net.Conn]string{},
	}
}

// healthy is the health check. A real game looks at its tick rate, its memory, its threads.
func (g *game) healthy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.sick
}

// serve takes players until the listener is closed.
func (g *game) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			_ = c.Close()
			return
		}
		g.conns[c] = ""
		g.wg.Add(1)
		g.mu.Unlock()
		go func() {
			defer g.wg.Done()
			g.play(c)
		}()
	}
}

// close sends all players home and waits until the service knows that they have left.
func (g *game) close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.conns {
		_ = c.Close()
	}
	g.mu.Unlock()
	g.wg.Wait()
}

// play is one connection's life.
func (g *game) play(c net.Conn) {
	defer g.leave(c)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if word == "LEAVE" {
			fmt.Fprintln(c, "BYE")
			return
		}
		answer := g.command(c, word, strings.TrimSpace(rest))
		if _, err := fmt.Fprintln(c, answer); err != nil {
			return
		}
	}
}

func (g *game) command(c net.Conn, word, rest string) string {
	switch word {
	case "JOIN":
		return g.join(c, rest)
	case "SAY":
		return g.say(c, rest)
	case "WHO":
		all, err := g.service.players()
		if err != nil {
			return refusal(err)
		}
		lines := []string{fmt.Sprintf("OK %d", len(all))}
		for _, s := range all {
			lines = append(lines, s.session+" "+s.player+" "+s.status)
		}
		return strings.Join(lines, "\n")
	case "TEAMS":
		all, err := g.match.teams()
		if err != nil {
			return refusal(err)
		}
		return strings.Join(append([]string{fmt.Sprintf("OK %d", len(all))}, all...), "\n")
	case "BACKFILL":
		ticket, err := g.match.backfill()
		if err != nil {
			return refusal(err)
		}
		return "OK " + ticket
	case "NOBACKFILL":
		g.match.cancel()
		return "OK"
	case "LOCK", "UNLOCK":
		if err := g.service.open(word == "UNLOCK"); err != nil {
			return refusal(err)
		}
		return "OK"
	case "SICK", "WELL":
		g.mu.Lock()
		g.sick = word == "SICK"
		g.mu.Unlock()
		return "OK"
	case "END":
		g.end("a player ended it")
		return "OK"
	}
	return "NO unknown command " + word
}

func refusal(err error) string { return "NO " + strings.ReplaceAll(err.Error(), "\n", " ") }

// join lets a player in if the service says that the player session was reserved.
func (g *game) join(c net.Conn, playerSession string) string {
	g.mu.Lock()
	joined := g.conns[c] != ""
	g.mu.Unlock()
	if joined {
		return "NO joined already"
	}
	if err := g.service.accept(playerSession); err != nil {
		g.print("refused player=%s why=%q", playerSession, err)
		return refusal(err)
	}
	g.mu.Lock()
	g.conns[c] = playerSession
	g.mu.Unlock()
	g.print("joined player=%s", playerSession)
	return "OK"
}

func (g *game) say(c net.Conn, text string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.conns[c]
	if from == "" {
		return "NO join first"
	}
	for other, player := range g.conns {
		if other != c && player != "" {
			fmt.Fprintf(other, "SAID %s %s\n", from, text)
		}
	}
	return "OK"
}

// leave ends a connection, and frees the player's slot.
func (g *game) leave(c net.Conn) {
	_ = c.Close()
	g.mu.Lock()
	playerSession := g.conns[c]
	delete(g.conns, c)
	empty := playerSession != ""
	for _, other := range g.conns {
		empty = empty && other == ""
	}
	g.mu.Unlock()
	if playerSession == "" {
		return
	}
	if err := g.service.remove(playerSession); err != nil {
		g.print("not removed player=%s why=%q", playerSession, err)
	} else {
		g.print("left player=%s", playerSession)
	}
	g.match.left()
	if empty && g.endWhenEmpty {
		g.end("all players left")
	}
}
