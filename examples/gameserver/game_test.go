package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/model"
)

// desk is a service that knows some reserved player sessions.
type desk struct {
	mu       sync.Mutex
	reserved []string
	removed  []string
	open_    bool
	seats    []seat
	asked    []string
}

func (d *desk) accept(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.reserved, id)
	if i < 0 {
		return errors.New("not reserved")
	}
	d.reserved = slices.Delete(d.reserved, i, i+1)
	return nil
}

func (d *desk) remove(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removed = append(d.removed, id)
	return nil
}

func (d *desk) players() ([]seat, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seats != nil {
		return d.seats, nil
	}
	return []seat{{"psess-1", "ann", "ACTIVE"}}, nil
}

func (d *desk) backfill(game, configuration string, players []model.Player) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for _, p := range players {
		ids = append(ids, p.Team+"/"+p.PlayerID)
	}
	d.asked = append(d.asked, fmt.Sprintf("%s %s %s", game, configuration, strings.Join(ids, ",")))
	return fmt.Sprintf("ticket-%d", len(d.asked)), nil
}

func (d *desk) stopBackfill(_, _, ticket string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "stop "+ticket)
	return nil
}

func (d *desk) open(yes bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open_ = yes
	return nil
}

// player is a client of the game.
type player struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

func (p player) says(line, want string) {
	p.t.Helper()
	fmt.Fprintln(p.conn, line)
	p.hears(want)
}

func (p player) hears(want string) {
	p.t.Helper()
	got, err := p.lines.ReadString('\n')
	if err != nil || strings.TrimSpace(got) != want {
		p.t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

func TestPlayersComeAndGo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{reserved: []string{"psess-1", "psess-2"}}
	ended := make(chan string, 3)
	g := newGame(d, t.Logf, func(why string) { ended <- why }, true)
	go g.serve(l)
	defer l.Close()
	connect := func() player {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return player{t, c, bufio.NewReader(c)}
	}

	ann, bob, eve := connect(), connect(), connect()
	ann.says("SAY hello", "NO join first")
	ann.says("JOIN psess-1", "OK")
	ann.says("JOIN psess-2", "NO joined already")
	bob.says("JOIN psess-2", "OK")
	eve.says("JOIN psess-1", "NO not reserved")
	ann.says("SAY hello", "OK")
	bob.hears("SAID psess-1 hello")
	ann.says("WHO", "OK 1")
	ann.hears("psess-1 ann ACTIVE")
	ann.says("UNLOCK", "OK")
	ann.says("SICK", "OK")
	if g.healthy() {
		t.Error("the game says that it is healthy")
	}
	ann.says("DANCE", "NO unknown command DANCE")

	ann.says("LEAVE", "BYE")
	_ = bob.conn.Close()
	if why := <-ended; why != "all players left" {
		t.Errorf("ended with %q", why)
	}
	g.close()
	slices.Sort(d.removed)
	if want := []string{"psess-1", "psess-2"}; !slices.Equal(d.removed, want) || !d.open_ {
		t.Errorf("removed %v, open %v; want %v, true", d.removed, d.open_, want)
	}
}

func TestPlacesOfThoseWhoLeftAreFilled(t *testing.T) {
	d := &desk{seats: []seat{{"psess-1", "ann", "ACTIVE"}, {"psess-2", "bob", "COMPLETED"}, {"psess-3", "cid", "RESERVED"}}}
	m := &match{service: d, print: t.Logf}
	if _, err := m.backfill(); err == nil {
		t.Error("a game session that is no match was backfilled")
	}
	m.left()
	m.started(model.GameSession{GameSessionID: "game", GameProperties: map[string]string{"backfill": "manual"}, MatchmakerData: `{"matchId":"m",
		"matchmakingConfigurationArn":"configuration","teams":[{"name":"red","players":[{"playerId":"ann","attributes":{}},{"playerId":"bob","attributes":{}}]},
		{"name":"blue","players":[{"playerId":"cid","attributes":{}}]}],"autoBackfillMode":null,"autoBackfillTicketId":null}`})
	m.left()
	d.seats[2].status = "COMPLETED"
	m.left() // takes the first request back
	updated := model.MatchmakingDataUpdated
	m.updated(model.UpdateGameSession{BackfillTicketID: "ticket-3", UpdateReason: &updated, GameSession: model.GameSession{MatchmakerData: `{"matchId":"m",
		"matchmakingConfigurationArn":"configuration","teams":[{"name":"red","players":[{"playerId":"ann","attributes":{}},{"playerId":"dan","attributes":{}}]}]}`}})
	d.seats = append(d.seats, seat{"psess-4", "dan", "RESERVED"})
	m.cancel() // nothing is under way
	lines, err := m.teams()
	if err != nil || strings.Join(lines, ", ") != "red ann, red dan" {
		t.Errorf("teams %q, %v", lines, err)
	}
	want := "game configuration red/ann,blue/cid; stop ticket-1; game configuration red/ann"
	if got := strings.Join(d.asked, "; "); got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
}
