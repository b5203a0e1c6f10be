//go:build linux

package agent_test

import (
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/hostmsg"
)

// TestALogThatSomebodyLooksAt: of a process from its registration to its end, over the socket,
// for two who look.
func TestALogThatSomebodyLooksAt(t *testing.T) {
	p := newPlane(t)
	p.run(p.settings())
	p.send(start("i-1", p.build("build-1", server(t)), 1, "log /local/game/logs/a.log"))
	s := p.started()
	p.send(&hostmsg.Registered{Instance: "i-1", Process: s.Process, LogPaths: []string{"/local/game/logs"}})
	p.send(&hostmsg.Tail{ID: "n/0", Instance: "i-1", Process: "another", Last: 100})
	if e := wait(p, "the end of none", func(m *hostmsg.TailEnd) bool { return m.ID == "n/0" }); e.Why != hostmsg.TailUnknown {
		t.Errorf("a process that is not there: %+v", e)
	}
	text := func(id, file, want string) {
		t.Helper()
		got := ""
		wait(p, id+" sees "+want, func(m *hostmsg.TailText) bool {
			if m.ID == id && m.File == file {
				got += string(m.Data)
			}
			return strings.Contains(got, want)
		})
	}
	for _, id := range []string{"n/1", "n/2"} {
		p.send(&hostmsg.Tail{ID: id, Instance: "i-1", Process: s.Process, Last: 1000})
		text(id, "logs/a.log", "the log of a game\n")
		text(id, hostmsg.TailOutput, "game ")
	}
	p.send(&hostmsg.TailStop{ID: "n/1"})

	// A new socket knows of no tails; asked again, one goes on where it was.
	p.hangUp()
	p.until("hello again", func() bool { return len(p.hello) == 2 })
	p.send(&hostmsg.Tail{ID: "n/2", Instance: "i-1", Process: s.Process, From: []hostmsg.TailPosition{{File: "logs/a.log", Offset: 1 << 20, Gen: "another"}}})
	text("n/2", "logs/a.log", "the log of a game\n")

	p.send(&hostmsg.Kill{Instance: "i-1", Process: s.Process, Reason: hostmsg.ExitForced})
	if e := wait(p, "the end", func(m *hostmsg.TailEnd) bool { return m.ID != "n/0" }); e.ID != "n/2" || e.Why != hostmsg.TailOver {
		t.Errorf("the end: %+v", e)
	}
}
