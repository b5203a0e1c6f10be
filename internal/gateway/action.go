package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/session"
	"github.com/matchyard/matchyard/internal/trace"
)

// action carries one kind of request out. What it returns stands in the answer beside the
// envelope; nil is nothing.
type action struct {
	do func(ctx context.Context, s *Server, p *process, m inbound) (any, error)
	// agent is do for what agents ask.
	agent func(ctx context.Context, s *Server, k *socket, m inbound) (any, error)
	// again is set when carrying it out twice is harmless and its answer is not worth
	// remembering.
	again bool
}

// actions are all that SDK 5.6.0 sends (3).
var actions = map[string]action{
	"ActivateServerProcess":             {do: activateServerProcess},
	"HeartbeatServerProcess":            {do: heartbeatServerProcess, again: true},
	"TerminateServerProcess":            {do: terminateServerProcess},
	"ActivateGameSession":               {do: activateGameSession},
	"UpdatePlayerSessionCreationPolicy": {do: updatePlayerSessionCreationPolicy},
	"AcceptPlayerSession":               {do: acceptPlayerSession},
	"RemovePlayerSession":               {do: removePlayerSession},
	"DescribePlayerSessions":            {do: describePlayerSessions, again: true},
	"StartMatchBackfill":                {do: startMatchBackfill},
	"StopMatchBackfill":                 {do: stopMatchBackfill},
	"GetComputeCertificate":             {do: getComputeCertificate, again: true},
	"GetFleetRoleCredentials":           {do: getFleetRoleCredentials, again: true},
}

// handle carries a message out and answers it, once for each time it was sent.
func (k *socket) handle(ctx context.Context, text []byte) {
	m, err := parse(text)
	if err != nil {
		k.send(frame{bytes: k.failed(ctx, m, err)})
		return
	}
	a, known := k.repertoire()[m.Action]
	if !known {
		k.send(frame{bytes: k.failed(ctx, m, badRequest("Action: there is no %q", m.Action))})
		return
	}
	if a.again {
		answer, _ := k.perform(ctx, a, m)
		k.send(frame{bytes: answer})
		return
	}
	answer, first, mismatch := k.memory().begin(m.RequestID, m.Action, k, time.Now())
	switch {
	case mismatch:
		k.send(frame{bytes: k.failed(ctx, m, badRequest("RequestId: it was used for another action"))})
		return
	case !first:
		k.server.counts.replayed.Add(1)
		if answer != nil {
			k.send(frame{bytes: answer})
		}
		return
	}
	answer, status := k.perform(ctx, a, m)
	waiting := k.memory().finish(m.RequestID, answer, status < 500)
	k.send(frame{bytes: answer})
	for _, other := range waiting {
		other.sendAside(frame{bytes: answer})
	}
}

// perform runs an action and makes its answer.
func (k *socket) perform(ctx context.Context, a action, m inbound) (answer []byte, status int) {
	if k.server.Trace == nil {
		return k.guarded(ctx, a, m)
	}
	ctx, s := k.server.Trace.Start(ctx, "gateway."+m.Action, trace.Server)
	defer s.End()
	answer, status = k.guarded(ctx, a, m)
	k.describe(s, m, status)
	return answer, status
}

// describe says in its span what a message was and how it was answered.
func (k *socket) describe(s trace.Span, m inbound, status int) {
	if !s.On() {
		return
	}
	for _, a := range k.names() {
		s.Str("matchyard."+a.Key, a.Value.String())
	}
	s.Str("matchyard.game_session_id", m.GameSessionID)
	s.Str("matchyard.request_id", m.RequestID)
	s.Int("matchyard.status", status)
	if status >= http.StatusInternalServerError {
		s.Fail(http.StatusText(status))
	}
}

// guarded carries a request out, of which a panic of ours costs only itself.
func (k *socket) guarded(ctx context.Context, a action, m inbound) (answer []byte, status int) {
	defer func() {
		if v := recover(); v != nil {
			answer, status = k.failed(ctx, m, fmt.Errorf("panic: %v\n%s", v, debug.Stack())), http.StatusInternalServerError
		}
	}()
	more, err := k.carryOut(ctx, a, m)
	if err != nil {
		f := k.fault(ctx, m, err)
		return k.failed(ctx, m, f), f.status
	}
	return encode(envelope{Action: m.Action, RequestID: m.RequestID, StatusCode: http.StatusOK}, more), http.StatusOK
}

// repertoire is what may be asked for on a socket.
func (k *socket) repertoire() map[string]action {
	if k.agent != nil {
		return agentActions
	}
	return actions
}

func (k *socket) carryOut(ctx context.Context, a action, m inbound) (any, error) {
	if k.agent != nil {
		return a.agent(ctx, k.server, k, m)
	}
	return a.do(ctx, k.server, k.process, m)
}

// memory has the answers to requests on this socket and others of whose it is.
func (k *socket) memory() *memory {
	if k.agent != nil {
		return &k.agent.agent.answered
	}
	return &k.process.answered
}

// names say in logs whose a socket is.
func (k *socket) names() []slog.Attr {
	if k.agent != nil {
		return []slog.Attr{slog.String("fleet_id", string(k.agent.who.Fleet)), slog.String("compute", string(k.agent.who.Name))}
	}
	return []slog.Attr{slog.String("fleet_id", string(k.process.fleet)), slog.String("process_id", k.process.id)}
}

// failed makes the answer to a request that failed.
func (k *socket) failed(ctx context.Context, m inbound, err error) []byte {
	k.server.counts.failed.Add(1)
	f := k.fault(ctx, m, err)
	return encode(envelope{Action: m.Action, RequestID: m.RequestID, StatusCode: f.status, ErrorMessage: f.message}, nil)
}

// fault decides what a process gets to see of an error, and logs what is not its doing.
func (k *socket) fault(ctx context.Context, m inbound, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorFault() != smithy.FaultServer {
		return &failure{statusOf(e), e.ErrorMessage()}
	}
	k.server.Logger.LogAttrs(ctx, slog.LevelError, "socket's request failed", append(k.names(),
		slog.String("action", m.Action),
		slog.String("request_id", m.RequestID),
		slog.Any("error", err))...)
	return &failure{http.StatusInternalServerError, "An internal error occurred. The server's log has it under request id " + m.RequestID + "."}
}

// turnAway answers a message that is not carried out.
func (k *socket) turnAway(text []byte, f *failure) {
	m, err := parse(text)
	if err != nil {
		f = k.fault(k.server.base, m, err)
	}
	k.send(frame{bytes: k.failed(k.server.base, m, f)})
}

func activateServerProcess(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	if m.Port == nil {
		return nil, badRequest("Port: missing")
	}
	return nil, s.activate(ctx, p, compute.Ready{
		Port: *m.Port, LogPaths: m.LogPaths,
		SDKVersion: m.SdkVersion, SDKLanguage: m.SdkLanguage,
		ToolName: m.SdkToolName, ToolVersion: m.SdkToolVersion,
	})
}

func heartbeatServerProcess(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	if m.HealthStatus == nil {
		return nil, badRequest("HealthStatus: missing")
	}
	return nil, s.reportHealth(ctx, p, *m.HealthStatus)
}

func terminateServerProcess(ctx context.Context, s *Server, p *process, _ inbound) (any, error) {
	return nil, s.endProcess(ctx, p, compute.Normal)
}

func activateGameSession(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	return nil, s.Sessions.Activate(ctx, p.key, m.GameSessionID)
}

func acceptPlayerSession(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	return nil, s.Sessions.AcceptPlayer(ctx, p.key, m.GameSessionID, m.PlayerSessionID)
}

func removePlayerSession(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	return nil, s.Sessions.RemovePlayer(ctx, p.key, m.GameSessionID, m.PlayerSessionID)
}

func updatePlayerSessionCreationPolicy(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	return nil, s.Sessions.SetCreationPolicy(ctx, p.key, m.GameSessionID, m.PlayerSessionPolicy)
}

// playerSession is a player session on this wire (3.2): times in milliseconds, an integer
// for the port always.
type playerSession struct {
	PlayerSessionID *string `json:"PlayerSessionId"`
	PlayerID        *string `json:"PlayerId"`
	GameSessionID   *string `json:"GameSessionId"`
	FleetID         *string `json:"FleetId"`
	PlayerData      *string
	IPAddress       *string `json:"IpAddress"`
	DNSName         *string `json:"DnsName"`
	Port            int32
	CreationTime    *int64
	TerminationTime *int64
	Status          types.PlayerSessionStatus
}

type playerSessions struct {
	NextToken      *string
	PlayerSessions []playerSession // an empty list rather than null
}

func describePlayerSessions(ctx context.Context, s *Server, p *process, m inbound) (any, error) {
	q := session.PlayerQuery{
		GameSessionID: m.GameSessionID, PlayerID: m.PlayerID, PlayerSessionID: m.PlayerSessionID,
		Status: m.PlayerSessionStatusFilter, NextToken: m.NextToken,
	}
	if m.Limit != nil {
		q.Limit = *m.Limit
	}
	players, next, err := s.Sessions.DescribePlayers(ctx, p.key, q)
	if err != nil {
		return nil, err
	}
	out := playerSessions{PlayerSessions: make([]playerSession, 0, len(players))}
	if next != "" {
		out.NextToken = &next
	}
	for _, one := range players {
		w := playerSession{
			PlayerSessionID: one.PlayerSessionId, PlayerID: one.PlayerId, GameSessionID: one.GameSessionId,
			FleetID: one.FleetId, PlayerData: one.PlayerData, IPAddress: one.IpAddress, DNSName: one.DnsName,
			CreationTime: millis(one.CreationTime), TerminationTime: millis(one.TerminationTime), Status: one.Status,
		}
		if one.Port != nil {
			w.Port = *one.Port
		}
		out.PlayerSessions = append(out.PlayerSessions, w)
	}
	return out, nil
}

func millis(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	return new(t.UnixMilli())
}

func getComputeCertificate(ctx context.Context, s *Server, p *process, _ inbound) (any, error) {
	path, name, err := s.Computes.Certificate(ctx, p.key)
	if err != nil {
		return nil, err
	}
	return struct{ CertificatePath, ComputeName string }{path, string(name)}, nil
}

// getFleetRoleCredentials says that the fleet has no role: SDKs take an empty AccessKeyId
// for that, and do not ask again (3.4).
func getFleetRoleCredentials(context.Context, *Server, *process, inbound) (any, error) {
	return struct {
		AssumedRoleUserArn, AssumedRoleId, AccessKeyId, SecretAccessKey, SessionToken string
		Expiration                                                                    int64
	}{}, nil
}
