package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/gateway"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func TestDialsThatAreRefused(t *testing.T) {
	y := one(t, nil)
	for name, c := range map[string]struct {
		change func(q url.Values)
		status int
		reason string
	}{
		"no process":     {func(q url.Values) { q.Del("pID") }, 400, "pID"},
		"an agent":       {func(q url.Values) { q.Del("pID"); q.Set("ComputeName", "laptop"); q.Del("Authorization") }, 401, "Authorization"},
		"agent's token":  {func(q url.Values) { q.Del("pID"); q.Set("ComputeName", "laptop"); q.Set("Authorization", "x") }, 403, "token"},
		"agent's fleet":  {func(q url.Values) { q.Del("pID"); q.Set("ComputeName", "laptop"); q.Del("FleetId") }, 400, "FleetId"},
		"agent's name":   {func(q url.Values) { q.Del("pID"); q.Set("ComputeName", "") }, 400, "ComputeName"},
		"agent unknown":  {func(q url.Values) { q.Del("pID"); q.Set("ComputeName", "desktop") }, 404, "compute"},
		"no fleet":       {func(q url.Values) { q.Del("FleetId") }, 400, "FleetId"},
		"no compute":     {func(q url.Values) { q.Del("ComputeId") }, 400, "ComputeId"},
		"no token":       {func(q url.Values) { q.Del("Authorization") }, 401, "Authorization"},
		"signed":         {func(q url.Values) { q.Set("Authorization", "SigV4") }, 401, "SigV4"},
		"wrong token":    {func(q url.Values) { q.Set("Authorization", "11111111-2222-3333-4444-555555555555") }, 403, "token"},
		"token and more": {func(q url.Values) { q.Set("Authorization", y.token+"+") }, 403, "token"},
		"unknown fleet":  {func(q url.Values) { q.Set("FleetId", "fleet-01234567-89ab-7def-8123-456789abcdef") }, 404, "fleet"},
		"other compute":  {func(q url.Values) { q.Set("ComputeId", "desktop") }, 404, "compute"},
		"two processes":  {func(q url.Values) { q.Add("pID", "another") }, 400, "pID"},
	} {
		q := y.query("p1")
		c.change(q)
		_, _, err := dial(t.Context(), y.url+"/?"+q.Encode())
		refused, ok := errors.AsType[*refusedDial](err)
		if !ok || refused.status != c.status || !strings.Contains(refused.reason, c.reason) {
			t.Errorf("%s: %v, want status %d that names %s", name, err, c.status, c.reason)
		}
	}
	if s := y.Stats(); s.Accepted != 0 || s.Refused != 15 {
		t.Errorf("stats %+v, want 15 refused", s)
	}
}

func TestHandshakesThatAreNone(t *testing.T) {
	y := one(t, nil)
	for name, c := range map[string]struct {
		header map[string]string
		status int
	}{
		"no upgrade":  {map[string]string{}, 426},
		"old version": {map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, 426},
		"no key":      {map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}, 400},
		"a web page": {map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
			"Origin": "https://example.org",
		}, 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, y.http.URL+"/?"+y.query("p1").Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", name, answer.StatusCode, c.status)
		}
	}
}

// C++ and C# do not percent-encode, so a plus is a plus.
func TestIdsAreTakenAsTheyAre(t *testing.T) {
	y := one(t, nil)
	raw := fmt.Sprintf("/some/path/?pID=a+b%%2Bc&ComputeId=%s&FleetId=%s&Authorization=%s", y.compute, y.fleet, y.token)
	conn, r, err := dial(t.Context(), y.url+raw)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn, r: r}
	c.does(200, "ActivateServerProcess", "Port", 7777)
	c.does(200, "TerminateServerProcess")
	// It has ended, so the id is used up: spelled with a plus, not with a space.
	for spelled, want := range map[string]int{"a%2Bb%2Bc": 403, "a%20b%2Bc": 0} {
		_, _, err := dial(t.Context(), y.url+strings.Replace(raw, "a+b%2Bc", spelled, 1))
		refused, ok := errors.AsType[*refusedDial](err)
		if ok != (want != 0) || ok && refused.status != want {
			t.Errorf("pID %s: %v, want status %d", spelled, err, want)
		}
	}
	_ = conn.Close()
}

func TestDevTakesDialsWithoutToken(t *testing.T) {
	y := one(t, func(s *gateway.Server) { s.Dev = true })
	q := y.query("p1")
	q.Del("Authorization")
	conn, r, err := dial(t.Context(), y.url+"/?"+q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn, r: r}
	c.does(200, "ActivateServerProcess", "Port", 7777)
	q.Set("Authorization", "11111111-2222-3333-4444-555555555555")
	if _, _, err := dial(t.Context(), y.url+"/?"+q.Encode()); err != nil {
		if refused, ok := errors.AsType[*refusedDial](err); !ok || refused.status != 403 {
			t.Errorf("wrong token: %v, want 403", err)
		}
	} else {
		t.Error("a wrong token was let in")
	}
}

func TestSignedDials(t *testing.T) {
	var age time.Duration
	y := one(t, func(s *gateway.Server) {
		s.VerifySigV4 = func(_ context.Context, q url.Values) (time.Time, error) {
			if !strings.HasPrefix(q.Get("X-Amz-Signature"), "good") {
				return time.Time{}, errors.New("the signature does not match")
			}
			return time.Now().Add(-age), nil
		}
	})
	try := func(process, signature string) int {
		q := y.query(process)
		q.Set("Authorization", "SigV4")
		q.Set("X-Amz-Signature", signature)
		conn, _, err := dial(t.Context(), y.url+"/?"+q.Encode())
		if refused, ok := errors.AsType[*refusedDial](err); ok {
			return refused.status
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		return 101
	}
	for _, step := range []struct {
		what, process, signature string
		age                      time.Duration
		status                   int
	}{
		{"a bad signature", "p1", "bad", 0, 403},
		{"an old signature of an unknown process", "p1", "good-1", time.Hour, 403},
		{"a good signature", "p1", "good-1", time.Minute, 101},
		{"the same one hours later", "p1", "good-1", 5 * time.Hour, 101},
		{"another old one", "p1", "good-2", 5 * time.Hour, 403},
		{"the same one for another process", "p2", "good-1", 5 * time.Hour, 403},
		{"one from tomorrow", "p3", "good-3", -24 * time.Hour, 403},
		{"a new one", "p1", "good-4", 0, 101},
		{"the first one again", "p1", "good-1", 5 * time.Hour, 403},
	} {
		age = step.age
		if got := try(step.process, step.signature); got != step.status {
			t.Errorf("%s: status %d, want %d", step.what, got, step.status)
		}
	}
	q := y.query("p1")
	q.Set("Authorization", "SigV4 good-4")
	if _, _, err := dial(t.Context(), y.url+"/?"+strings.ReplaceAll(q.Encode(), "+", "%20")); err == nil {
		t.Error("a signature was taken as a token")
	}
}

// TestLifeOfAProcess is the whole protocol by hand, on both databases.
func TestLifeOfAProcess(t *testing.T) {
	each(t, func(y *yard) {
		c := y.dial("p1")
		if _, err := y.sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{
			FleetId: &y.fleet, Location: new(place), MaximumPlayerSessionCount: new(int32(2)),
		}); err == nil {
			t.Fatal("a game session was placed on a process that is not ready")
		}
		c.does(200, "ActivateServerProcess", "Port", 7777, "LogPaths", nil, "SdkVersion", "5.5.0", "SdkLanguage", "Go")
		c.does(200, "HeartbeatServerProcess", "HealthStatus", true)
		g := y.start(2)
		push := c.hears()
		want := message{
			"Action": "CreateGameSession", "GameSessionId": *g.GameSessionId, "GameSessionName": "friday", "GameSessionData": "map=dunes",
			"IpAddress": "127.0.0.1", "Port": 7777.0, "MaximumPlayerSessionCount": 2.0, "DnsName": nil, "MatchmakerData": nil,
			"GameProperties": map[string]any{"mode": "duel"},
		}
		if fmt.Sprint(push) != fmt.Sprint(want) {
			t.Errorf("pushed %v, want %v", push, want)
		}
		id := *g.GameSessionId
		c.does(200, "ActivateGameSession", "GameSessionId", id)
		y.becomes(id, types.GameSessionStatusActive)

		ann, err := y.reserve(id, "ann")
		if err != nil {
			t.Fatal(err)
		}
		bob, err := y.reserve(id, "bob")
		if err != nil {
			t.Fatal(err)
		}
		c.does(200, "AcceptPlayerSession", "GameSessionId", id, "PlayerSessionId", ann)
		if got := y.player(ann).Status; got != types.PlayerSessionStatusActive {
			t.Errorf("ann is %s, want ACTIVE", got)
		}
		c.does(404, "AcceptPlayerSession", "GameSessionId", id, "PlayerSessionId", "psess-01234567-89ab-7def-8123-456789abcdef")

		all := c.does(200, "DescribePlayerSessions", "GameSessionId", id, "Limit", 1)
		first := all["PlayerSessions"].([]any)[0].(map[string]any)
		if all["NextToken"] == nil || first["PlayerId"] != "ann" || first["Status"] != "ACTIVE" || first["Port"] != 7777.0 || first["PlayerData"] != "hat=red" ||
			first["CreationTime"] != float64(y.clock.Now().UnixMilli()) || first["TerminationTime"] != nil || first["GameSessionId"] != id || first["FleetId"] != y.fleet {
			t.Errorf("first page %v", all)
		}
		rest := c.does(200, "DescribePlayerSessions", "GameSessionId", id, "NextToken", all["NextToken"])
		if second := rest["PlayerSessions"].([]any)[0].(map[string]any); len(rest["PlayerSessions"].([]any)) != 1 || second["PlayerSessionId"] != bob || rest["NextToken"] != nil {
			t.Errorf("second page %v", rest)
		}
		none := c.does(200, "DescribePlayerSessions", "GameSessionId", id, "PlayerSessionStatusFilter", "TIMEDOUT")
		if list, ok := none["PlayerSessions"].([]any); !ok || len(list) != 0 {
			t.Errorf("nobody timed out: %v, want an empty list", none)
		}
		c.does(400, "DescribePlayerSessions")

		c.does(200, "UpdatePlayerSessionCreationPolicy", "GameSessionId", id, "PlayerSessionPolicy", "DENY_ALL")
		if got := y.game(id).PlayerSessionCreationPolicy; got != types.PlayerSessionCreationPolicyDenyAll {
			t.Errorf("policy %s, want DENY_ALL", got)
		}
		c.does(400, "UpdatePlayerSessionCreationPolicy", "GameSessionId", id, "PlayerSessionPolicy", "NOT_SET")
		c.does(200, "RemovePlayerSession", "GameSessionId", id, "PlayerSessionId", ann)
		if got := y.player(ann).Status; got != types.PlayerSessionStatusCompleted {
			t.Errorf("ann is %s, want COMPLETED", got)
		}

		certificate := c.does(200, "GetComputeCertificate")
		if certificate["ComputeName"] != y.compute {
			t.Errorf("certificate %v", certificate)
		}
		role := c.does(200, "GetFleetRoleCredentials", "RoleArn", "arn:aws:iam::123456789012:role/x", "RoleSessionName", "x")
		if role["AccessKeyId"] != "" {
			t.Errorf("role %v, want an empty AccessKeyId", role)
		}
		const matchmaker = "arn:aws:gamelift:us-west-2:123456789012:matchmakingconfiguration/ranked"
		for _, backfill := range []struct {
			status  int
			word    string
			players []any
		}{
			{400, "Players", []any{}},
			{400, "PlayerId", []any{message{"Team": "red"}}},
			{400, "AttrType", []any{message{"PlayerId": "ann", "PlayerAttributes": message{"skill": message{"N": 5}}}}},
			{404, "ranked", []any{message{"PlayerId": "ann", "Team": "red", "LatencyInMS": nil, "PlayerAttributes": message{"skill": message{
				"attrType": "DOUBLE", "S": nil, "N": 5.5, "SL": nil, "SDM": nil,
			}, "nothing": message{"AttrType": "NONE"}}}}},
		} {
			m := c.does(backfill.status, "StartMatchBackfill", "TicketId", "", "GameSessionArn", id, "MatchmakingConfigurationArn", matchmaker, "Players", backfill.players)
			if !strings.Contains(m["ErrorMessage"].(string), backfill.word) {
				t.Errorf("backfill of %v: %v, want a word of %s", backfill.players, m, backfill.word)
			}
		}
		c.does(400, "StopMatchBackfill", "GameSessionArn", id, "MatchmakingConfigurationArn", matchmaker)
		c.does(404, "StopMatchBackfill", "GameSessionArn", id, "MatchmakingConfigurationArn", matchmaker, "TicketId", "t-1")

		c.does(200, "TerminateServerProcess")
		y.becomes(id, types.GameSessionStatusTerminated)
		c.does(200, "HeartbeatServerProcess", "HealthStatus", true) // one that crossed the end
		c.write(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))
		c.hearsClose(1001)
		c.hearsEnd()
		if _, _, err := dial(t.Context(), y.url+"/?"+y.query("p1").Encode()); err == nil {
			t.Error("a process that has ended was let in again")
		}
	})
}

// Two nodes on one database: what is pushed goes where the newest socket is.
func TestNewestSocketOfTwoNodesWins(t *testing.T) {
	clock := storetest.NewClock()
	address := storetest.PostgresURL(t)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), address, store.Options{Now: clock.Now, Logger: quiet(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	first := newYard(t, open(), clock, nil)
	second := first.join(open())
	for i := range 5 {
		older := first.ready(fmt.Sprint("p", i))
		newer := second.dial(fmt.Sprint("p", i))
		newer.does(200, "HeartbeatServerProcess", "HealthStatus", true)
		g := *first.start(2).GameSessionId
		if m := newer.hears(); m["Action"] != "CreateGameSession" || m["GameSessionId"] != g {
			t.Errorf("the newer socket got %v", m)
		}
		_ = older.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if n, err := older.conn.Read(make([]byte, 1)); n > 0 {
			t.Errorf("the older socket got something, %v", err)
		}
		newer.does(200, "ActivateGameSession", "GameSessionId", g)
	}
}

func TestMessagesThatAreWrong(t *testing.T) {
	y := one(t, nil)
	c := y.ready("p1")
	for name, q := range map[string]struct {
		text   string
		status float64
		names  string
	}{
		"no JSON":          {`{"Action":`, 400, "JSON"},
		"a list":           {`[]`, 400, "message"},
		"no action":        {`{"RequestId":"r"}`, 400, "Action"},
		"no request id":    {`{"Action":"HeartbeatServerProcess"}`, 400, "RequestId"},
		"unknown action":   {`{"Action":"Dance","RequestId":"r"}`, 400, "Dance"},
		"null health":      {`{"Action":"HeartbeatServerProcess","RequestId":"r","HealthStatus":null}`, 400, "HealthStatus"},
		"health as text":   {`{"Action":"HeartbeatServerProcess","RequestId":"r","HealthStatus":"true"}`, 400, "HealthStatus"},
		"no port":          {`{"Action":"ActivateServerProcess","RequestId":"r"}`, 400, "Port"},
		"a fraction":       {`{"Action":"ActivateServerProcess","RequestId":"r2","Port":7777.5}`, 400, "Port"},
		"a float":          {`{"Action":"DescribePlayerSessions","RequestId":"r","GameSessionId":"x","Limit":1.0}`, 400, "Limit"},
		"a port too high":  {`{"Action":"ActivateServerProcess","RequestId":"r3","Port":60001}`, 400, "Port"},
		"log paths":        {`{"Action":"ActivateServerProcess","RequestId":"r4","Port":7777,"LogPaths":"x"}`, 400, "LogPaths"},
		"no game session":  {`{"Action":"ActivateGameSession","RequestId":"r5"}`, 404, "GameSessionId"},
		"other id":         {`{"Action":"AcceptPlayerSession","RequestId":"r6","GameSessionId":"nonsense","PlayerSessionId":"x"}`, 404, "GameSessionId"},
		"request id large": {`{"Action":"HeartbeatServerProcess","HealthStatus":true,"RequestId":"` + strings.Repeat("r", 300) + `"}`, 400, "RequestId"},
	} {
		c.says(q.text)
		m := c.hears()
		text, _ := m["ErrorMessage"].(string)
		status, _ := m["StatusCode"].(float64)
		if (status != q.status && (q.status != 404 || status != 400)) || !strings.Contains(text, q.names) {
			t.Errorf("%s: got %v, want status %v that names %s", name, m, q.status, q.names)
		}
		var sent struct{ Action, RequestId string }
		if json.Unmarshal([]byte(q.text), &sent) == nil && (m["Action"] != sent.Action || m["RequestId"] != sent.RequestId) {
			t.Errorf("%s: answer to %v %v, want %+v", name, m["Action"], m["RequestId"], sent)
		}
	}
	// After all that the socket lives, keys may be spelled in any case, and come in any order.
	c.says(`{"healthstatus":true,"requestid":"C#","SDKVERSION":null,"action":"HeartbeatServerProcess"}`)
	if m := c.hears(); m["RequestId"] != "C#" || m["StatusCode"] != 200.0 {
		t.Errorf("got %v, want status 200", m)
	}
}

func TestFragmentsArePutTogether(t *testing.T) {
	y := one(t, nil)
	c := y.dial("p1")
	paths := make([]string, 500)
	for i := range paths {
		paths[i] = fmt.Sprintf("/srv/game/logs/é-%d", i)
	}
	text := []byte(c.request("ActivateServerProcess", "large", "Port", 7777, "LogPaths", paths))
	// In pieces of 7 bytes, which cut characters too, with pings between them.
	first := true
	for piece := range slices.Chunk(text, 7) {
		op := ws.OpContinuation
		if first {
			op = ws.OpText
		}
		first = false
		c.write(ws.NewFrame(op, false, piece))
	}
	c.write(ws.NewPingFrame([]byte("here?")))
	if f, err := c.frame(); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "here?" {
		t.Errorf("got %v %q, %v; want the pong in the middle of the message", f.Header.OpCode, f.Payload, err)
	}
	c.write(ws.NewFrame(ws.OpContinuation, true, nil))
	if m := c.hears(); m["RequestId"] != "large" || m["StatusCode"] != 200.0 {
		t.Errorf("got %v, want status 200", m)
	}
}

func TestBrokenRulesEndASocket(t *testing.T) {
	y := one(t, nil)
	large := make([]byte, 1<<20+1)
	put := func(c *client, f ws.Frame) { _ = ws.WriteFrame(c.conn, ws.MaskFrame(f)) } // the end may not be taken
	for name, c := range map[string]struct {
		send func(c *client)
		code ws.StatusCode
	}{
		"unmasked":      {func(c *client) { _ = ws.WriteFrame(c.conn, ws.NewTextFrame([]byte("{}"))) }, 1002},
		"reserved bit":  {func(c *client) { f := ws.NewTextFrame([]byte("{}")); f.Header.Rsv = 4; put(c, f) }, 1002},
		"reserved code": {func(c *client) { put(c, ws.NewFrame(3, true, nil)) }, 1002},
		"continuation":  {func(c *client) { put(c, ws.NewFrame(ws.OpContinuation, true, nil)) }, 1002},
		"two messages": {func(c *client) {
			put(c, ws.NewFrame(ws.OpText, false, []byte("{")))
			put(c, ws.NewTextFrame([]byte("{}")))
		}, 1002},
		"long ping":      {func(c *client) { put(c, ws.NewPingFrame(make([]byte, 126))) }, 1002},
		"ping in pieces": {func(c *client) { put(c, ws.NewFrame(ws.OpPing, false, nil)) }, 1002},
		"binary":         {func(c *client) { put(c, ws.NewBinaryFrame([]byte("{}"))) }, 1003},
		"no UTF-8":       {func(c *client) { put(c, ws.NewTextFrame([]byte("\"\xff\""))) }, 1007},
		"too large":      {func(c *client) { put(c, ws.NewTextFrame(large)) }, 1009},
		"too large in pieces": {func(c *client) {
			for i := range 33 {
				op := ws.OpContinuation
				if i == 0 {
					op = ws.OpText
				}
				put(c, ws.NewFrame(op, false, large[:1<<15]))
			}
		}, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			k := y.dial("process-" + strings.ReplaceAll(name, " ", "-"))
			k.t = t
			c.send(k)
			k.hearsClose(c.code)
			_ = k.conn.Close()
		})
	}
	exact := y.dial("exact")
	head, tail := `{"Action":"HeartbeatServerProcess","RequestId":"r","HealthStatus":true,"x":"`, `"}`
	exact.says(head + strings.Repeat("x", 1<<20-len(head)-len(tail)) + tail)
	if m := exact.hears(); m["RequestId"] != "r" {
		t.Errorf("a message of 1 MiB: %v", m)
	}
	eventually(t, "all wrong sockets are gone", func() bool { return y.Stats().Sockets == 1 })
}

func TestCloseIsEchoedAndTheConnectionClosed(t *testing.T) {
	y := one(t, nil)
	for sent, want := range map[string]ws.StatusCode{
		"": 0,
		string(ws.NewCloseFrameBody(1000, "bye")): 1000,
		string(ws.NewCloseFrameBody(1001, "")):    1001,
		"\x03":                                    1002,
		string(ws.NewCloseFrameBody(999, "")):     1002,
	} {
		c := y.dial("p1")
		c.write(ws.NewFrame(ws.OpClose, true, []byte(sent)))
		c.hearsClose(want)
		c.hearsEnd()
	}
}

// stall makes requests that write hang until it is called.
func (y *yard) stall() (release func()) {
	y.t.Helper()
	hold, held, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- y.db.Write(context.Background(), func(tx *store.Tx) error {
			close(held)
			<-hold
			return nil
		})
	}()
	<-held
	return func() {
		close(hold)
		if err := <-done; err != nil {
			y.t.Errorf("stalling transaction: %v", err)
		}
	}
}

func TestPingsAreAnsweredWhileRequestsRun(t *testing.T) {
	y := one(t, nil)
	c := y.dial("p1")
	release := y.stall()
	c.says(c.request("ActivateServerProcess", "slow", "Port", 7777))
	eventually(t, "the request runs", func() bool { return y.Stats().Running == 1 })
	for range 3 {
		c.write(ws.NewPingFrame(nil))
		if f, err := c.frame(); err != nil || f.Header.OpCode != ws.OpPong {
			t.Fatalf("got %v %q, %v; want a pong", f.Header.OpCode, f.Payload, err)
		}
	}
	release()
	if m := c.hears(); m["RequestId"] != "slow" || m["StatusCode"] != 200.0 {
		t.Errorf("got %v, want status 200", m)
	}
}

func TestRequestsAreCarriedOutOnce(t *testing.T) {
	y := one(t, nil)
	c := y.ready("p1")
	g := *y.start(2).GameSessionId
	c.hears()
	c.does(200, "ActivateGameSession", "GameSessionId", g)
	ann, err := y.reserve(g, "ann")
	if err != nil {
		t.Fatal(err)
	}
	accept := c.request("AcceptPlayerSession", "again", "GameSessionId", g, "PlayerSessionId", ann)

	// Sent again while it runs, on the same socket and on a new one: each gets the answer.
	release := y.stall()
	c.says(accept)
	eventually(t, "the request runs", func() bool { return y.Stats().Running == 1 })
	c.says(accept)
	eventually(t, "the repeat waits", func() bool { return y.Stats().Replayed == 1 })
	release()
	for range 2 {
		if m := c.hears(); m["RequestId"] != "again" || m["StatusCode"] != 200.0 {
			t.Errorf("got %v, want status 200", m)
		}
	}
	// And afterwards, though by itself a second acceptance is an error.
	newer := y.dial("p1")
	newer.says(accept)
	if m := newer.hears(); m["RequestId"] != "again" || m["StatusCode"] != 200.0 {
		t.Errorf("after a reconnect: got %v, want status 200", m)
	}
	newer.does(400, "AcceptPlayerSession", "GameSessionId", g, "PlayerSessionId", ann)
	newer.says(newer.request("RemovePlayerSession", "again", "GameSessionId", g, "PlayerSessionId", ann))
	if m := newer.hears(); m["StatusCode"] != 400.0 || !strings.Contains(m["ErrorMessage"].(string), "RequestId") {
		t.Errorf("the id under another action: %v, want 400", m)
	}
	if got := y.Stats().Replayed; got != 2 {
		t.Errorf("%d replayed, want 2", got)
	}
}

func TestNewestSocketWins(t *testing.T) {
	y := one(t, nil)
	older := y.ready("p1")
	newer := y.dial("p1")
	g := *y.start(2).GameSessionId
	if m := newer.hears(); m["Action"] != "CreateGameSession" {
		t.Errorf("the newer socket got %v", m)
	}
	older.does(200, "ActivateGameSession", "GameSessionId", g) // answered where it was asked
	_ = older.conn.Close()
	eventually(t, "the older socket is gone", func() bool { return y.Stats().Sockets == 1 })
	y.advance(201 * time.Second)
	if got := y.game(g).Status; got != types.GameSessionStatusActive {
		t.Errorf("after the end of the older socket the game session is %s, want ACTIVE", got)
	}
	_ = newer.conn.Close()
	eventually(t, "the newer socket is gone", func() bool { return y.Stats().Sockets == 0 })
	y.advance(199 * time.Second)
	if got := y.game(g).Status; got != types.GameSessionStatusActive {
		t.Errorf("within the grace the game session is %s, want ACTIVE", got)
	}
	eventually(t, "crashed after the grace", func() bool {
		y.advance(2 * time.Second)
		return y.game(g).Status == types.GameSessionStatusTerminated
	})
}

func TestOlderSocketIsClosedAfterAWhile(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 seconds")
	}
	y := one(t, nil)
	older := y.ready("p1")
	start := time.Now()
	newer := y.dial("p1")
	older.hearsClose(1000)
	if d := time.Since(start); d < 10*time.Second {
		t.Errorf("closed after %v: the Go SDK, which holds both sockets for 5 s, would close the newer one", d)
	}
	older.write(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))
	older.hearsEnd()
	newer.does(200, "HeartbeatServerProcess", "HealthStatus", true)
}

func TestPushesKeepTheirOrder(t *testing.T) {
	each(t, func(y *yard) {
		const processes, each = 5, 40
		var all []*client
		for i := range processes {
			all = append(all, y.ready(fmt.Sprint("p", i)))
		}
		keys := y.keys()
		for i := range each {
			if err := y.db.Write(t.Context(), func(tx *store.Tx) error {
				for _, key := range keys {
					if err := y.computes.SendTx(tx, key, compute.UpdateGameSession{BackfillTicketID: new(fmt.Sprint(i))}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range all {
			for i := range each {
				if m := c.hears(); m["Action"] != "UpdateGameSession" || m["BackfillTicketId"] != fmt.Sprint(i) {
					t.Fatalf("push %d is %v", i, m)
				}
			}
		}
	})
}

// keys are the keys of all processes, oldest first.
func (y *yard) keys() (keys []store.Key) {
	y.t.Helper()
	if err := y.db.Read(y.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT key FROM process ORDER BY key`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key store.Key
			if err := rows.Scan(&key); err != nil {
				return err
			}
			keys = append(keys, key)
		}
		return rows.Err()
	}); err != nil {
		y.t.Fatal(err)
	}
	return keys
}

func TestPushesWaitForTheNextSocket(t *testing.T) {
	each(t, func(y *yard) {
		c := y.ready("p1")
		g := *y.start(2).GameSessionId
		c.hears()
		c.does(200, "ActivateGameSession", "GameSessionId", g)
		_ = c.conn.Close()
		eventually(t, "the socket is gone", func() bool { return y.Stats().Sockets == 0 })
		if _, err := y.sessions.TerminateGameSession(t.Context(), &gamelift.TerminateGameSessionInput{
			GameSessionId: &g, TerminationMode: types.TerminationModeTriggerOnProcessTerminate,
		}); err != nil {
			t.Fatal(err)
		}
		again := y.dial("p1")
		if m := again.hears(); m["Action"] != "TerminateProcess" || m["TerminationTime"].(float64) <= float64(y.clock.Now().UnixMilli()) {
			t.Errorf("got %v, want TerminateProcess", m)
		}
	})
}

// A socket that does not read is dropped, and what was to be pushed goes to its successor.
func TestSocketThatDoesNotRead(t *testing.T) {
	y := one(t, nil)
	c := y.ready("p1")
	_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
	key := y.keys()[0]
	noise := make([]byte, 200_000)
	_, _ = rand.Read(noise)
	const pushes = 60
	for i := range pushes {
		if err := y.db.Write(t.Context(), func(tx *store.Tx) error {
			return y.computes.SendTx(tx, key, compute.UpdateGameSession{
				BackfillTicketID: new(fmt.Sprint(i)),
				GameSession:      compute.UpdatedGameSession{MatchmakerData: new(fmt.Sprintf("%x", noise))},
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the socket is dropped", func() bool { s := y.Stats(); return s.Sockets == 0 && s.Dropped == 1 && s.Returned > 0 })
	next := y.dial("p1")
	last := -1
	for last != pushes-1 {
		var i int
		if _, err := fmt.Sscan(next.hears()["BackfillTicketId"].(string), &i); err != nil || last >= 0 && i != last+1 {
			t.Fatalf("push %d after %d (%v)", i, last, err)
		}
		last = i
	}
}

func TestFloodIsBounded(t *testing.T) {
	y := one(t, nil)
	c := y.ready("p1")
	release := y.stall()
	const sent = 3000
	go func() {
		for i := range sent {
			c.says(c.request("RemovePlayerSession", fmt.Sprint("flood-", i), "GameSessionId", "x", "PlayerSessionId", "y"))
		}
	}()
	status := map[any]int{}
	m := c.hears()
	if m["StatusCode"] != 429.0 {
		t.Errorf("while nothing moves: %v, want 429", m)
	}
	release()
	for range sent - 1 {
		status[m["StatusCode"]]++
		m = c.hears()
	}
	status[m["StatusCode"]]++
	if status[429.0] < 100 || status[429.0] > sent-1000 {
		t.Errorf("statuses %v, want more than a thousand carried out and the rest refused", status)
	}
	c.does(200, "HeartbeatServerProcess", "HealthStatus", true)
}

func TestUnhealthyProcessesEnd(t *testing.T) {
	y := one(t, func(s *gateway.Server) { s.HealthTimeout = 1500 * time.Millisecond })
	unready := y.dial("unready")
	c := y.ready("p1")
	g := *y.start(2).GameSessionId
	c.hears()
	c.does(200, "ActivateGameSession", "GameSessionId", g)
	// A clock that jumps is not time without a report.
	y.clock.Advance(time.Hour)
	start := time.Now()
	for time.Since(start) < 2*time.Second {
		c.does(200, "HeartbeatServerProcess", "HealthStatus", true)
		time.Sleep(100 * time.Millisecond)
	}
	if got := y.game(g).Status; got != types.GameSessionStatusActive {
		t.Fatalf("while healthy the game session is %s", got)
	}
	// Reports of bad health do not count.
	c.does(200, "HeartbeatServerProcess", "HealthStatus", false)
	if m := c.hears(); m["Action"] != "TerminateProcess" || m["TerminationTime"].(float64) < float64(time.Now().UnixMilli()) {
		t.Errorf("got %v, want TerminateProcess", m)
	}
	y.becomes(g, types.GameSessionStatusTerminated)
	c.does(200, "TerminateServerProcess") // as SDKs do
	if got := y.Stats().Unhealthy; got != 1 {
		t.Errorf("%d unhealthy, want 1: not the one that is not ready", got)
	}
	unready.does(200, "ActivateServerProcess", "Port", 7777)
}

func TestHealthClockStopsWhileTheSocketIsDown(t *testing.T) {
	y := one(t, func(s *gateway.Server) { s.HealthTimeout = 1500 * time.Millisecond })
	c := y.ready("p1")
	_ = c.conn.Close()
	time.Sleep(2 * time.Second)
	again := y.dial("p1")
	again.does(200, "HeartbeatServerProcess", "HealthStatus", true)
	if got := y.Stats().Unhealthy; got != 0 {
		t.Errorf("%d unhealthy, want none", got)
	}
}

func TestOnlyChangesOfHealthAreWritten(t *testing.T) {
	y := one(t, nil)
	c := y.ready("p1")
	release := y.stall()
	for range 3 {
		c.does(200, "HeartbeatServerProcess", "HealthStatus", true) // does not wait for the database
	}
	c.says(c.request("HeartbeatServerProcess", "sick", "HealthStatus", false))
	eventually(t, "the change waits for the database", func() bool { return y.Stats().Running == 1 })
	release()
	if m := c.hears(); m["RequestId"] != "sick" || m["StatusCode"] != 200.0 {
		t.Errorf("got %v", m)
	}
	if _, err := y.sessions.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{
		FleetId: &y.fleet, Location: new(place), MaximumPlayerSessionCount: new(int32(2)),
	}); err == nil {
		t.Error("a game session was placed on a sick process")
	}
	c.does(200, "HeartbeatServerProcess", "HealthStatus", true)
	y.start(2)
}

// A process whose compute is deregistered is told, and its game session ends.
func TestProcessThatEndsElsewhere(t *testing.T) {
	each(t, func(y *yard) {
		ready, dialled := y.ready("p1"), y.dial("p2")
		if _, err := y.computes.DeregisterCompute(t.Context(), &gamelift.DeregisterComputeInput{FleetId: &y.fleet, ComputeName: &y.compute}); err != nil {
			t.Fatal(err)
		}
		if m := ready.hears(); m["Action"] != "TerminateProcess" {
			t.Errorf("the ready process got %v, want TerminateProcess", m)
		}
		ready.does(200, "TerminateServerProcess")
		dialled.hearsClose(1000) // it would not understand
	})
}

func TestCloseTellsSocketsToComeBack(t *testing.T) {
	y := one(t, nil)
	idle, busy := y.ready("p1"), y.dial("p2")
	release := y.stall()
	busy.says(busy.request("ActivateServerProcess", "slow", "Port", 7777))
	eventually(t, "the request runs", func() bool { return y.Stats().Running == 1 })
	closed := make(chan struct{})
	go func() {
		y.end()
		close(closed)
	}()
	idle.hearsClose(1012)
	idle.hearsEnd()
	release()
	if m := busy.hears(); m["RequestId"] != "slow" || m["StatusCode"] != 200.0 {
		t.Errorf("got %v, want the answer first", m)
	}
	busy.hearsClose(1012)
	busy.hearsEnd()
	<-closed
}

func TestCloseDoesNotWaitForever(t *testing.T) {
	y := one(t, nil)
	busy := y.dial("p1")
	release := y.stall()
	busy.says(busy.request("ActivateServerProcess", "slow", "Port", 7777))
	eventually(t, "the request runs", func() bool { return y.Stats().Running == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := y.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want that it gave up", err)
	}
	_, _ = io.Copy(io.Discard, busy.conn)
	release()
}

func TestPushBeforeAndAfterReady(t *testing.T) {
	// As soon as the first heartbeat is answered a create succeeds and reaches the process.
	each(t, func(y *yard) {
		for i := range 10 {
			c := y.ready(fmt.Sprint("p", i))
			g := *y.start(1).GameSessionId
			if m := c.hears(); m["Action"] != "CreateGameSession" || m["GameSessionId"] != g {
				t.Fatalf("process %d got %v, want %s", i, m, g)
			}
		}
	})
}

func TestManySocketsAtOnce(t *testing.T) {
	y := one(t, nil)
	const n = 100
	errs := make(chan error, n)
	for i := range n {
		go func() {
			conn, r, err := dial(context.Background(), y.url+"/?"+y.query(fmt.Sprint("p", i)).Encode())
			if err != nil {
				errs <- err
				return
			}
			defer conn.Close()
			for j := range 20 {
				text := fmt.Sprintf(`{"Action":"HeartbeatServerProcess","RequestId":"%d","HealthStatus":%t}`, j, j%2 == 0)
				if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte(text)))); err != nil {
					errs <- err
					return
				}
			}
			for range 20 {
				f, err := ws.ReadFrame(r) //nolint:staticcheck // a test's peer is trusted
				if err != nil || !bytes.Contains(f.Payload, []byte(`"StatusCode":200`)) {
					errs <- fmt.Errorf("%s: %w", f.Payload, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all sockets are gone", func() bool { return y.Stats().Sockets == 0 })
}
