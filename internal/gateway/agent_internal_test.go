package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/matchyard/matchyard/internal/compute"
)

// hearsPush reads a text frame.
func hearsPush(t *testing.T, c net.Conn) (m agentPush) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	h, err := ws.ReadHeader(c)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, h.Length)
	if _, err := io.ReadFull(c, text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return m
}

// A process that called ProcessEnding has 30 s to exit, then its agent kills it; one whose
// exit the agent reported is left alone.
func TestAgentKillsWhatDoesNotExit(t *testing.T) {
	s := newSocketServer(t)
	c, k := s.agentPipe()
	defer c.Close()
	for _, id := range []string{"stays", "leaves"} {
		p, err := s.Computes.Connect(t.Context(), compute.Dial{ProcessID: id, Compute: "laptop", Fleet: s.fleet, Trusted: true})
		if err != nil {
			t.Fatal(err)
		}
		s.tellAgents(t.Context(), []*socket{k})
		if err := s.Computes.End(t.Context(), p.Key, compute.Normal); err != nil {
			t.Fatal(err)
		}
	}
	s.tellAgents(t.Context(), []*socket{k})
	if _, err := notifyServerProcessTermination(t.Context(), s.Server, k, inbound{ProcessID: "leaves", TerminationReason: "NORMAL_TERMINATION"}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.checkAgents(now.Add(agentExit - time.Second))
	s.checkAgents(now.Add(agentExit + time.Second))
	s.checkAgents(now.Add(2 * agentExit))
	if m := hearsPush(t, c); m.Action != "ForceExitServerProcess" || m.ProcessID != "stays" || m.TerminationReason != "SERVER_PROCESS_PROCESS_EXIT_TIMEOUT" {
		t.Errorf("heard %+v, want that one which stays is killed", m)
	}
	k.agent.heartbeat(nil, false)
	if w := k.agent.wards; len(w) != 2 {
		t.Errorf("remembered %v, want both for a while", w)
	}
	for _, w := range k.agent.wards {
		w.doneAt = w.doneAt.Add(-3 * agentSlack)
	}
	k.agent.heartbeat([]string{"leaves"}, false)
	if w := k.agent.wards; len(w) != 1 || !w["leaves"].gone {
		t.Errorf("remembered %v, want only what the agent still names", w)
	}
	k.agent.heartbeat(nil, false)
	if w := k.agent.wards; len(w) != 0 {
		t.Errorf("remembered %v, want none", w)
	}
	if n := s.counts.pushes.Load(); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
}

// A kill that the agent seems not to have heard is repeated, not sooner than after 30 s.
func TestAgentIsToldToKillAgain(t *testing.T) {
	s := newSocketServer(t)
	c, k := s.agentPipe()
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	p := compute.Ended{Process: compute.Process{ProcessID: "p", Status: compute.StatusEnded}, Why: compute.Forced}
	now := time.Now()
	for i, after := range []time.Duration{0, 20 * time.Second, 31 * time.Second, 40 * time.Second} {
		s.tell(k, agentNews{AgentView: compute.AgentView{Processes: []compute.Ended{p}}}, now.Add(after))
		if n, want := s.counts.pushes.Load(), []int64{1, 1, 2, 2}[i]; n != want {
			t.Errorf("after %v: %d pushes, want %d", after, n, want)
		}
	}
}

func TestAgentWithoutHeartbeatsIsDropped(t *testing.T) {
	s := newSocketServer(t)
	c, k := s.agentPipe()
	defer c.Close()
	s.checkAgents(time.Now().Add(agentSilence - time.Second))
	if !k.open() {
		t.Fatal("dropped too soon")
	}
	s.checkAgents(time.Now().Add(agentSilence + time.Second))
	s.checkAgents(time.Now().Add(agentSilence + 2*time.Second))
	h, err := ws.ReadHeader(c)
	if err != nil || h.OpCode != ws.OpClose {
		t.Errorf("heard %v %v, want a close frame", h.OpCode, err)
	}
	if n := s.counts.dropped.Load(); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
}

// An agent that was given up, because its node was not heard of, is made to dial again.
func TestAgentThatWasGivenUpDialsAgain(t *testing.T) {
	s := newSocketServer(t)
	c, k := s.agentPipe()
	defer c.Close()
	if err := s.Computes.GiveUpAgents(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.keepAgents(t.Context(), false)
	if to := s.takeAgents(); !slices.Equal(to, []*socket{k}) {
		t.Fatalf("%d agents to be looked at, want it", len(to))
	}
	s.tellAgents(context.Background(), []*socket{k})
	go s.execute(time.Now().Add(time.Second))
	if h, err := ws.ReadHeader(c); err != nil || h.OpCode != ws.OpClose {
		t.Errorf("heard %v %v, want a close frame", h.OpCode, err)
	}
}
