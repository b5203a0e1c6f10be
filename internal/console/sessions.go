package console

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/placement"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/store"
)

// SessionLine is a game session as a list shows it.
type SessionLine struct {
	ID       arn.GameSessionID       `json:"id"`
	Name     string                  `json:"name"`
	Fleet    arn.FleetID             `json:"fleet"`
	Location arn.Location            `json:"location"`
	Status   types.GameSessionStatus `json:"status"`
	Reason   string                  `json:"reason"`
	Compute  arn.ComputeName         `json:"compute"`
	Players  int32                   `json:"players"`
	Maximum  int32                   `json:"maximum"`
	Created  int64                   `json:"created"`
	Ended    int64                   `json:"ended"`
}

func sessionLine(g session.Seen) SessionLine {
	return SessionLine{
		ID: g.ID, Name: g.Name, Fleet: g.Fleet, Location: g.Location, Status: g.Status, Reason: g.Reason, Compute: g.Compute,
		Players: g.Players, Maximum: g.Maximum, Created: g.CreatedAt, Ended: g.EndedAt,
	}
}

const mostSessions = 500

// sessions are a page of the game sessions, newest first. A list stays as it is while its
// before is sent back.
func (s *Server) sessions(r *http.Request) (any, error) {
	skip, limit, err := pageOf(r, mostSessions)
	if err != nil {
		return nil, err
	}
	before, err := number(r, "before", 0, 0, 1<<62)
	if err != nil {
		return nil, err
	}
	l := session.Look{Before: store.Key(before), Skip: skip}
	for name, to := range map[string]*string{
		"fleet": (*string)(&l.Fleet), "location": (*string)(&l.Location), "status": (*string)(&l.Status), "compute": (*string)(&l.Compute),
	} {
		if *to, err = text(r, name); err != nil {
			return nil, err
		}
	}
	list, total, newest, err := s.Sessions.Browse(r.Context(), l, limit)
	if err != nil {
		return nil, err
	}
	lines := make([]SessionLine, len(list))
	for i, g := range list {
		lines[i] = sessionLine(g)
	}
	if l.Before != 0 {
		newest = l.Before
	}
	return map[string]any{"sessions": lines, "total": total, "before": strconv.FormatInt(int64(newest), 10)}, nil // more than browsers' numbers hold
}

// Lane is a host in a timeline: its game sessions or, when there are too many to draw, how
// many there were in each of many equal parts of the time.
type Lane struct {
	Host  string `json:"host"`
	Count int    `json:"count"`
	Bars  []Bar  `json:"bars,omitempty"`
	Load  []int  `json:"load,omitempty"`
}

// Bar is a game session in a timeline.
type Bar struct {
	ID      arn.GameSessionID       `json:"id"`
	Status  types.GameSessionStatus `json:"status"`
	From    int64                   `json:"from"`
	To      int64                   `json:"to"` // 0: it has not ended
	Players int32                   `json:"players"`
	Maximum int32                   `json:"maximum"`
	Stays   []StayBar               `json:"stays,omitempty"`
}

// StayBar is a player inside a game session.
type StayBar struct {
	Player string                    `json:"player"`
	Status types.PlayerSessionStatus `json:"status"`
	From   int64                     `json:"from"`
	Joined int64                     `json:"joined"`
	To     int64                     `json:"to"`
}

const (
	mostBars      = 3000 // in a timeline with a bar for each game session
	mostLanes     = 300
	mostScanned   = 500_000
	timelineParts = 240
	mostStayBars  = 300 // game sessions that players are shown in
	staysOfBar    = 32
)

// timeline are the game sessions of a fleet over a time, in lanes by host; with host of those
// whose name has that in it.
func (s *Server) timeline(r *http.Request) (any, error) {
	id, err := needed(r, "fleet")
	if err != nil {
		return nil, err
	}
	now := s.DB.Now().UnixMilli()
	to, err := number(r, "to", now, 0, 1<<53)
	if err != nil {
		return nil, err
	}
	span, err := spanOf(r)
	if err != nil {
		return nil, err
	}
	from, err := number(r, "from", to-span.Milliseconds(), 0, 1<<53)
	if err != nil {
		return nil, err
	}
	if from >= to {
		return nil, badRequest("from is not before to")
	}
	host, err := text(r, "host")
	if err != nil {
		return nil, err
	}
	lanes := map[string]*Lane{}
	total, scanned := 0, 0
	detailed := true
	err = s.Sessions.Between(r.Context(), arn.FleetID(id), from, to, func(g session.Seen) bool {
		name := string(g.Compute)
		if scanned++; !strings.Contains(name, host) {
			return scanned < mostScanned
		}
		total++
		l := lanes[name]
		if l == nil {
			l = &Lane{Host: name, Load: make([]int, timelineParts+1)}
			lanes[name] = l
		}
		l.Count++
		l.add(g, from, to, now)
		if detailed = detailed && total <= mostBars; detailed {
			l.Bars = append(l.Bars, Bar{ID: g.ID, Status: g.Status, From: g.CreatedAt, To: g.EndedAt, Players: g.Players, Maximum: g.Maximum})
		}
		return scanned < mostScanned
	})
	if err != nil {
		return nil, err
	}
	list := make([]*Lane, 0, len(lanes))
	for _, l := range lanes {
		slices.SortFunc(l.Bars, func(a, b Bar) int { return int(min(max(a.From-b.From, -1), 1)) })
		if detailed {
			l.Load = nil
		} else {
			l.Bars = nil
			l.addUp()
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b *Lane) int { return strings.Compare(a.Host, b.Host) })
	hosts := len(list)
	list = list[:min(hosts, mostLanes)]
	if detailed && total <= mostStayBars {
		if err := s.addStays(r, list); err != nil {
			return nil, err
		}
	}
	return map[string]any{
		"from": from, "to": to, "now": now, "total": total, "hosts": hosts, "lanes": list, "detailed": detailed, "parts": timelineParts,
	}, nil
}

// add counts a game session in the parts of the time it was there: one more from the first,
// one less after the last.
func (l *Lane) add(g session.Seen, from, to, now int64) {
	end := g.EndedAt
	if end == 0 {
		end = now
	}
	part := func(at int64) int {
		return int(min(max((at-from)*timelineParts/(to-from), 0), timelineParts-1))
	}
	l.Load[part(g.CreatedAt)]++
	l.Load[part(end)+1]--
}

// addUp makes the counts of changes into counts.
func (l *Lane) addUp() {
	for i := 1; i < timelineParts; i++ {
		l.Load[i] += l.Load[i-1]
	}
	l.Load = l.Load[:timelineParts]
}

func (s *Server) addStays(r *http.Request, lanes []*Lane) error {
	for _, l := range lanes {
		for i := range l.Bars {
			b := &l.Bars[i]
			stays, _, err := s.Sessions.Stays(r.Context(), b.ID, 0, staysOfBar)
			if err != nil {
				if _, gone := errors.AsType[*types.NotFoundException](err); gone {
					continue
				}
				return err
			}
			for _, p := range stays {
				b.Stays = append(b.Stays, StayBar{p.Player, p.Status, p.ReservedAt, p.JoinedAt, p.EndedAt})
			}
		}
	}
	return nil
}

// GameView is one game session.
type GameView struct {
	SessionLine

	IP         string                 `json:"ip"`
	DNS        string                 `json:"dns"`
	Port       int32                  `json:"port"`
	Creator    string                 `json:"creator"`
	Policy     string                 `json:"policy"`
	Protection string                 `json:"protection"`
	Data       string                 `json:"data"`
	Matchmaker string                 `json:"matchmaker"`
	Properties []Property             `json:"properties"`
	Placement  *placement.Explanation `json:"placement"`
	Log        string                 `json:"log"` // URL
	NoLog      string                 `json:"noLog"`
	MayEnd     bool                   `json:"mayEnd"`
}

// Property is a game property.
type Property struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (s *Server) game(r *http.Request) (any, error) {
	id, err := needed(r, "id")
	if err != nil {
		return nil, err
	}
	out, err := s.Sessions.DescribeGameSessionDetails(r.Context(), &gamelift.DescribeGameSessionDetailsInput{GameSessionId: &id})
	if err != nil {
		return nil, err
	}
	if len(out.GameSessionDetails) == 0 {
		return nil, &types.NotFoundException{Message: new("game session " + id + " does not exist, or not any more")}
	}
	d := out.GameSessionDetails[0]
	g := d.GameSession
	v := GameView{
		SessionLine: SessionLine{
			ID: arn.GameSessionID(deref(g.GameSessionId)), Name: deref(g.Name), Fleet: arn.FleetID(deref(g.FleetId)), Location: arn.Location(deref(g.Location)),
			Status: g.Status, Reason: string(g.StatusReason), Players: count(g.CurrentPlayerSessionCount), Maximum: count(g.MaximumPlayerSessionCount),
			Created: ms(g.CreationTime), Ended: ms(g.TerminationTime),
		},
		IP: deref(g.IpAddress), DNS: deref(g.DnsName), Port: count(g.Port), Creator: deref(g.CreatorId), Policy: string(g.PlayerSessionCreationPolicy),
		Protection: string(d.ProtectionPolicy), Data: deref(g.GameSessionData), Matchmaker: deref(g.MatchmakerData), Properties: []Property{},
	}
	for _, p := range g.GameProperties {
		v.Properties = append(v.Properties, Property{deref(p.Key), deref(p.Value)})
	}
	if v.Compute, err = s.computeOf(r, v.ID); err != nil {
		return nil, err
	}
	if v.Placement, err = s.placementOf(r, v.ID); err != nil {
		return nil, err
	}
	v.Log, v.NoLog = s.logOf(r, id)
	ended := v.Status == types.GameSessionStatusTerminated || v.Status == types.GameSessionStatusError
	if !ended {
		_, refused := s.may(r, endOperation, &gamelift.TerminateGameSessionInput{GameSessionId: &id})
		v.MayEnd = refused == nil
	}
	return v, nil
}

func count(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

func ms(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

func (s *Server) computeOf(r *http.Request, id arn.GameSessionID) (name arn.ComputeName, err error) {
	err = s.DB.Read(r.Context(), func(tx *store.Tx) error {
		_, name, _, _, err = s.Sessions.ComputeTx(tx, id)
		return err
	})
	return name, err
}

// placementOf is why a game session is where it is, if a placement made it: then it has the
// placement's id.
func (s *Server) placementOf(r *http.Request, id arn.GameSessionID) (*placement.Explanation, error) {
	p, err := arn.ParseGameSession(string(id))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // nothing made it
	}
	e, err := s.Placements.Explain(r.Context(), p.ID)
	if _, none := errors.AsType[*types.NotFoundException](err); none {
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// logOf is where the game session's log can be had, or why it cannot.
func (s *Server) logOf(r *http.Request, id string) (url, why string) {
	out, err := s.Sessions.GetGameSessionLogUrl(r.Context(), &gamelift.GetGameSessionLogUrlInput{GameSessionId: &id})
	if err != nil {
		_, f := s.failed(r, err)
		return "", f.Error
	}
	if deref(out.PreSignedUrl) == "" {
		return "", "there is no log yet"
	}
	return *out.PreSignedUrl, ""
}

// StayLine is a player session of a game session.
type StayLine struct {
	ID       arn.PlayerSessionID       `json:"id"`
	Player   string                    `json:"player"`
	Data     string                    `json:"data"`
	Status   types.PlayerSessionStatus `json:"status"`
	Reserved int64                     `json:"reserved"`
	Joined   int64                     `json:"joined"`
	Ended    int64                     `json:"ended"`
	Deadline int64                     `json:"deadline"`
}

// stays are the player sessions of a game session, a page of them.
func (s *Server) stays(r *http.Request) (any, error) {
	id, err := needed(r, "id")
	if err != nil {
		return nil, err
	}
	skip, limit, err := pageOf(r, mostSessions)
	if err != nil {
		return nil, err
	}
	list, total, err := s.Sessions.Stays(r.Context(), arn.GameSessionID(id), skip, limit)
	lines := make([]StayLine, len(list))
	for i, p := range list {
		lines[i] = StayLine{p.ID, p.Player, p.Data, p.Status, p.ReservedAt, p.JoinedAt, p.EndedAt, p.Deadline}
	}
	return map[string]any{"stays": lines, "total": total}, err
}

const endOperation = "TerminateGameSession"

// endGame ends a game session, as TerminateGameSession does for a caller with the same key.
func (s *Server) endGame(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		ID   string `json:"id"`
		Mode string `json:"mode"`
	}
	if err := receive(r, &in); err != nil {
		return nil, err
	}
	mode := types.TerminationMode(in.Mode)
	if !slices.Contains(mode.Values(), mode) {
		return nil, badRequest("mode is not TRIGGER_ON_PROCESS_TERMINATE or FORCE_TERMINATE")
	}
	call := &gamelift.TerminateGameSessionInput{GameSessionId: &in.ID, TerminationMode: mode}
	who, err := s.may(r, endOperation, call)
	if err == nil {
		_, err = s.Sessions.TerminateGameSession(r.Context(), call)
	}
	s.log(r, who, endOperation, in.ID, err)
	if err != nil {
		return nil, err
	}
	return map[string]any{"ending": in.ID}, nil
}

// log writes a change, also one that was refused, into the audit log. Who did not sign in
// cannot write there.
func (s *Server) log(r *http.Request, who Caller, operation, resource string, err error) {
	if s.Audit == nil || who.Key == "" {
		return
	}
	e := access.Entry{Key: who.Key, Name: who.Name, Request: "console", Operation: operation, Resources: []string{resource}, Outcome: "OK"}
	if who.From.IsValid() {
		e.From = who.From.String()
	}
	if err != nil {
		_, f := s.failed(r, err)
		e.Outcome = f.Code
	}
	if err := s.Audit.Append(r.Context(), e); err != nil {
		s.logger().LogAttrs(r.Context(), slog.LevelError, "not in the audit log", slog.String("operation", operation), slog.Any("error", err))
	}
}

// player are the player sessions of a player, page by page as DescribePlayerSessions has
// them.
func (s *Server) player(r *http.Request) (any, error) {
	id, err := needed(r, "id")
	if err != nil {
		return nil, err
	}
	next, err := text(r, "next")
	if err != nil {
		return nil, err
	}
	in := &gamelift.DescribePlayerSessionsInput{PlayerId: &id, Limit: new(int32(100))}
	if next != "" {
		in.NextToken = &next
	}
	out, err := s.Sessions.DescribePlayerSessions(r.Context(), in)
	if err != nil {
		return nil, err
	}
	type line struct {
		ID      string                    `json:"id"`
		Game    string                    `json:"game"`
		Fleet   string                    `json:"fleet"`
		Status  types.PlayerSessionStatus `json:"status"`
		Data    string                    `json:"data"`
		Address string                    `json:"address"`
		Port    int32                     `json:"port"`
		Created int64                     `json:"created"`
		Ended   int64                     `json:"ended"`
	}
	lines := []line{}
	for _, p := range out.PlayerSessions {
		lines = append(lines, line{
			deref(p.PlayerSessionId), deref(p.GameSessionId), deref(p.FleetId), p.Status, deref(p.PlayerData), deref(p.IpAddress), count(p.Port),
			ms(p.CreationTime), ms(p.TerminationTime),
		})
	}
	return map[string]any{"stays": lines, "next": deref(out.NextToken)}, nil
}
