package compute_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
)

// The texts are those of server-sdk-protocol.md 4: no RequestId, properties as an object,
// times as integers in milliseconds.
func TestPushesOnTheWire(t *testing.T) {
	for _, c := range []struct {
		what string
		push any
		want string
	}{
		{"CreateGameSession", compute.CreateGameSession{
			GameSessionID: "arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1", GameSessionName: new("Friday"), GameSessionData: new("map=1"),
			MatchmakerData: new(`{"matchId":"m"}`), IPAddress: new("10.0.0.1"), DNSName: new("host"), MaximumPlayerSessionCount: 10, Port: 7000,
			GameProperties: map[string]string{"mode": "ctf"},
		}, `{"Action":"CreateGameSession","GameSessionId":"arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1","GameSessionName":"Friday",` +
			`"GameSessionData":"map=1","MatchmakerData":"{\"matchId\":\"m\"}","IpAddress":"10.0.0.1","DnsName":"host","MaximumPlayerSessionCount":10,"Port":7000,` +
			`"GameProperties":{"mode":"ctf"}}`},
		{
			"smallest CreateGameSession",
			compute.CreateGameSession{GameSessionID: "a", MaximumPlayerSessionCount: 1, Port: 1},
			`{"Action":"CreateGameSession","GameSessionId":"a","GameSessionName":null,"GameSessionData":null,"MatchmakerData":null,"IpAddress":null,"DnsName":null,` +
				`"MaximumPlayerSessionCount":1,"Port":1,"GameProperties":null}`,
		},
		{"UpdateGameSession", compute.UpdateGameSession{
			GameSession: compute.UpdatedGameSession{
				GameSessionID: "a", Name: new("Friday"), FleetID: "fleet-1", Location: "custom-east", Status: "ACTIVE",
				MaximumPlayerSessionCount: 4, Port: 7000, GameProperties: map[string]string{},
			}, UpdateReason: compute.BackfillTimedOut, BackfillTicketID: new("t"),
		}, `{"Action":"UpdateGameSession","GameSession":{"GameSessionId":"a","Name":"Friday","FleetId":"fleet-1","Location":"custom-east","Status":"ACTIVE",` +
			`"StatusReason":null,"MaximumPlayerSessionCount":4,"IpAddress":null,"DnsName":null,"Port":7000,"GameSessionData":null,"MatchmakerData":null,` +
			`"GameProperties":{}},"UpdateReason":"BACKFILL_TIMED_OUT","BackfillTicketId":"t"}`},
		{"TerminateProcess", compute.TerminateProcess{At: time.UnixMilli(1700000000123)}, `{"Action":"TerminateProcess","TerminationTime":1700000000123}`},
		{
			"RefreshConnection",
			compute.RefreshConnection{Endpoint: "ws://host", AuthToken: "t"},
			`{"Action":"RefreshConnection","RefreshConnectionEndpoint":"ws://host","AuthToken":"t"}`,
		},
	} {
		text, err := json.Marshal(c.push)
		if err != nil {
			t.Fatal(err)
		}
		expect.Same(t, c.what, string(text), c.want)
	}
}
