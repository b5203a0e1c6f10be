package compute_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestConnectRefuses(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", east)
		for _, c := range []struct {
			what   string
			with   func(d *compute.Dial)
			status int
			word   string
		}{
			{"unknown fleet", func(d *compute.Dial) { d.Fleet = unknownFleet }, 404, "fleet"},
			{"not a fleet", func(d *compute.Dial) { d.Fleet = "arena" }, 404, "fleet"},
			{"unknown compute", func(d *compute.Dial) { d.Compute = "three" }, 404, "compute three"},
			{"unknown compute, trusted", func(d *compute.Dial) { d.Compute, d.Trusted = "three", true }, 404, "compute three"},
			{"no token", func(d *compute.Dial) { d.AuthToken = "" }, 401, "token"},
			{"made-up token", func(d *compute.Dial) { d.AuthToken = "0" }, 403, "token"},
			{"token of another compute", func(d *compute.Dial) { d.AuthToken = r.token("two") }, 403, "token"},
			{"no process id", func(d *compute.Dial) { d.ProcessID = "" }, 400, "process id"},
			{"endless process id", func(d *compute.Dial) { d.ProcessID = strings.Repeat("x", 257) }, 400, "process id"},
		} {
			d := r.dial("one", "p")
			c.with(&d)
			_, err := r.Connect(t.Context(), d)
			turnedAway(t, c.what, err, c.status, c.word)
		}
		d := r.dial("one", "p")
		d.AuthToken, d.Trusted = "", true
		_, err := r.Connect(t.Context(), d)
		expect.OK(t, err)
	})
}

func TestLifeOfAProcess(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		var free int
		r.DB.Subscribe(compute.ChannelFree, func(fleet string) {
			expect.Same(t, "notified", fleet, r.fleet)
			free++
		})
		p := r.connect("one", "p")
		expect.Same(t, "dialled", p.Status, compute.StatusConnected)
		expect.Same(t, "names", fmt.Sprint(p.Fleet, p.Compute, p.Location, p.IPAddress), fmt.Sprint(r.fleet, "one", east, "10.0.0.1"))
		r.full(east, "none is ready")
		expect.Same(t, "counted", r.count(east), 0)

		for _, port := range []int32{-1, 0, 60001} {
			expect.Refused(t, "port", r.Ready(t.Context(), p.Key, compute.Ready{Port: port}), invalid, "Port", strconv.Itoa(int(port)))
		}
		r.clock.Advance(time.Second)
		expect.OK(t, r.Ready(t.Context(), p.Key, compute.Ready{Port: 60000, LogPaths: []string{"/a", "/b"}, SDKVersion: "5.6.0", SDKLanguage: "Cpp", ToolName: "Metrics", ToolVersion: "1.0.0"}))
		expect.OK(t, r.Ready(t.Context(), p.Key, compute.Ready{Port: 1})) // a retransmission has no effect
		now := r.read(p)
		expect.Same(t, "status", now.Status, compute.StatusReady)
		expect.Same(t, "since", now.ReadyAt, r.clock.Now())
		expect.Same(t, "told", fmt.Sprintln(now.Port, now.LogPaths, now.SDKVersion, now.SDKLanguage, now.ToolName, now.ToolVersion), "60000 [/a /b] 5.6.0 Cpp Metrics 1.0.0\n")
		expect.Same(t, "counted", r.count(east), 1)

		r.full(east, "1 are ready", "healthy") // not before its first report
		expect.OK(t, r.Health(t.Context(), p.Key, false))
		r.full(east, "healthy")
		expect.OK(t, r.Health(t.Context(), p.Key, true))
		expect.OK(t, r.Health(t.Context(), p.Key, true))
		expect.OK(t, r.Health(t.Context(), p.Key, false))
		r.full(east, "healthy")
		expect.OK(t, r.Health(t.Context(), p.Key, true))
		expect.Same(t, "times it became free", free, 2)

		got, err := r.reserve(east)
		expect.OK(t, err)
		expect.Same(t, "reserved", got.Key, p.Key)
		expect.Same(t, "status", got.Status, compute.StatusHosting)
		expect.Same(t, "port", got.Port, 60000)
		expect.Same(t, "counted", r.count(east), 1)
		r.full(east, "all 1", "host a game session")
		expect.OK(t, r.Health(t.Context(), p.Key, false))
		expect.OK(t, r.Health(t.Context(), p.Key, true))
		r.full(east)
		r.write(func(tx *store.Tx) error { return errors.Join(r.ActivatedTx(tx, p.Key), r.ActivatedTx(tx, p.Key)) })

		expect.OK(t, r.End(t.Context(), p.Key, compute.Normal))
		expect.OK(t, r.End(t.Context(), p.Key, compute.Crashed))
		expect.Same(t, "ended", r.read(p).Status, compute.StatusEnded)
		expect.Same(t, "told once", strings.Join(r.ended, ", "), "p: Normal")
		expect.Same(t, "counted", r.count(east), 0)
		expect.Same(t, "events", r.events(), "")
		r.full(east, "none is ready")
		expect.Refused(t, "Ready", r.Ready(t.Context(), p.Key, compute.Ready{Port: 1}), conflict, "ended")
		expect.Refused(t, "Health", r.Health(t.Context(), p.Key, true), conflict, "ended")
		expect.OK(t, r.Disconnect(t.Context(), p.Key, p.Dial))
	})
}

func TestUnknownProcess(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		expect.Refused(t, "Ready", r.Ready(t.Context(), 1, compute.Ready{Port: 1}), missing)
		expect.Refused(t, "Health", r.Health(t.Context(), 1, true), missing)
		expect.Refused(t, "End", r.End(t.Context(), 1, compute.Normal), missing)
		expect.OK(t, r.Disconnect(t.Context(), 1, 1))
		err := r.DB.Read(t.Context(), func(tx *store.Tx) error {
			_, err := r.ProcessTx(tx, 1)
			return err
		})
		if !errors.Is(err, store.ErrNoRows) {
			t.Errorf("ProcessTx: %v, want ErrNoRows", err)
		}
	})
}

func TestHookCanRefuseAnEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		p := r.ready("one", "p")
		broken := errors.New("broken")
		r.Ended = func(*store.Tx, compute.Process, compute.EndReason) error { return broken }
		if err := r.End(t.Context(), p.Key, compute.Normal); !errors.Is(err, broken) {
			t.Errorf("got %v, want the hook's error", err)
		}
		expect.Same(t, "still there", r.reserved(east), "p")
	})
}

func TestReconnectGoesOnWhereItWas(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		p := r.ready("one", "p")
		expect.OK(t, r.Disconnect(t.Context(), p.Key, p.Dial))
		expect.Same(t, "connected", r.read(p).Connected, false)
		r.full(east, "connected")
		r.tick(199 * time.Second)
		d := r.dial("one", "p")
		d.IdempotencyToken = "another"
		again, err := r.Connect(t.Context(), d)
		expect.OK(t, err)
		expect.Same(t, "key", again.Key, p.Key)
		expect.Same(t, "port", again.Port, 7000)
		expect.Same(t, "status", again.Status, compute.StatusReady)

		// The old socket's close comes late.
		expect.OK(t, r.Disconnect(t.Context(), p.Key, p.Dial))
		expect.Same(t, "connected", r.read(p).Connected, true)
		expect.Same(t, "placeable", r.reserved(east), "p")

		expect.OK(t, r.Disconnect(t.Context(), p.Key, again.Dial))
		r.tick(199 * time.Second)
		third := r.connect("one", "p")
		expect.Same(t, "status", third.Status, compute.StatusHosting)
		r.tick(time.Hour)
		expect.Same(t, "ended", len(r.ended), 0)
	})
}

func TestGoneLongerThanTheGrace(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		for _, pid := range []string{"a", "b", "c", "stays"} {
			r.ready("one", pid)
		}
		expect.Same(t, "reserved", r.reserved(east), "a")
		for _, pid := range []string{"a", "b", "c"} {
			p := r.connect("one", pid)
			expect.OK(t, r.Disconnect(t.Context(), p.Key, p.Dial))
			r.clock.Advance(time.Second)
		}
		due, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", due, r.clock.Now().Add(197*time.Second))
		expect.Same(t, "anything", ok, true)
		r.tick(197*time.Second - time.Millisecond)
		expect.Same(t, "too early", len(r.ended), 0)
		r.tick(time.Millisecond)
		expect.Same(t, "at the grace", strings.Join(r.ended, ", "), "a: Crashed")
		r.tick(2 * time.Second)
		expect.Same(t, "all", strings.Join(r.ended, ", "), "a: Crashed, b: Crashed, c: Crashed")
		expect.Same(t, "events", r.events(), "SERVER_PROCESS_CRASHED x3")
		expect.Same(t, "left", r.reserved(east), "stays")
	})
}

func TestReadyTimeout(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.connect("one", "slow")
		r.ready("one", "quick")
		r.tick(5*time.Minute - time.Millisecond)
		expect.Same(t, "too early", len(r.ended), 0)
		due, _, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", due, r.clock.Now().Add(time.Millisecond))
		r.tick(time.Millisecond)
		expect.Same(t, "ended", strings.Join(r.ended, ", "), "slow: ReadyTimeout")
		expect.Same(t, "events", r.events(), "SERVER_PROCESS_PROCESS_READY_TIMEOUT x1")
	})
}

func TestUnhealthyEvent(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		expect.OK(t, r.End(t.Context(), r.ready("one", "p").Key, compute.Unhealthy))
		expect.Same(t, "events", r.events(), "SERVER_PROCESS_TERMINATED_UNHEALTHY x1")
	})
}

func TestToldToEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		good, bad := r.ready("one", "good"), r.ready("one", "bad")
		idle := r.ready("one", "idle")
		expect.Same(t, "reserved", r.reserved(east)+r.reserved(east), "goodbad")
		by := r.clock.Now().Add(5 * time.Minute)
		r.write(func(tx *store.Tx) error {
			for _, p := range []compute.Process{good, bad, idle} {
				if err := r.SendTx(tx, p.Key, compute.TerminateProcess{At: by}); err != nil {
					return err
				}
			}
			return nil
		})
		r.full(east, "told to end")
		expect.Same(t, "until", r.read(bad).EndBy, by)
		r.clock.Advance(4 * time.Minute)
		expect.OK(t, r.End(t.Context(), good.Key, compute.Normal))
		expect.OK(t, r.End(t.Context(), idle.Key, compute.Normal))
		due, _, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due", due, by)
		r.tick(time.Minute)
		expect.Same(t, "ended", strings.Join(r.ended, ", "), "good: Normal, idle: Normal, bad: Forced")
		expect.Same(t, "events", r.events(), "SERVER_PROCESS_FORCE_TERMINATED x1")
	})
}

func TestEndedProcessComesBack(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		again := func(pid, idempotency string) (compute.Process, error) {
			d := r.dial("one", pid)
			d.IdempotencyToken = idempotency
			return r.Connect(t.Context(), d)
		}
		young, idle := r.connect("one", "young"), r.ready("one", "idle")
		r.register("two", west)
		d := r.dial("two", "busy")
		busy, err := r.Connect(t.Context(), d)
		expect.OK(t, err)
		expect.OK(t, r.Ready(t.Context(), busy.Key, compute.Ready{Port: 1}))
		expect.OK(t, r.Health(t.Context(), busy.Key, true))
		expect.Same(t, "reserved", r.reserved(west), "busy")
		for _, p := range []compute.Process{young, idle, busy} {
			expect.OK(t, r.End(t.Context(), p.Key, compute.Crashed))
		}

		for what, token := range map[string]string{"another token": "other", "no token": ""} {
			_, err := again("young", token)
			turnedAway(t, what, err, 403, "ended")
		}

		p, err := again("young", "once-young")
		expect.OK(t, err)
		expect.Same(t, "never ready", p.Status, compute.StatusConnected)
		r.tick(5*time.Minute - time.Millisecond)
		expect.Same(t, "its time began anew", r.read(p).Status, compute.StatusConnected)
		expect.OK(t, r.Ready(t.Context(), p.Key, compute.Ready{Port: 1}))

		p, err = again("idle", "once-idle")
		expect.OK(t, err)
		expect.Same(t, "was ready", p.Status, compute.StatusReady)
		r.full(east, "2 are ready")
		expect.OK(t, r.Health(t.Context(), p.Key, true))
		expect.Same(t, "after a report", r.reserved(east), "idle")

		p, err = r.Connect(t.Context(), d)
		expect.OK(t, err)
		expect.Same(t, "its game session is lost", p.Status, compute.StatusHosting)
		expect.Same(t, "until", p.EndBy, r.clock.Now().Add(5*time.Minute))
		inbox, err := r.TakeInbox(t.Context(), []store.Key{p.Key})
		expect.OK(t, err)
		expect.Same(t, "messages", len(inbox), 1)
		expect.Same(t, "message", string(inbox[0].Text), fmt.Sprintf(`{"Action":"TerminateProcess","TerminationTime":%d}`, p.EndBy.UnixMilli()))
		r.full(west)

		expect.OK(t, r.End(t.Context(), p.Key, compute.Normal))
		_, err = r.Connect(t.Context(), d)
		turnedAway(t, "after TerminateServerProcess", err, 403, "ended")

		old := r.dial("one", "old") // SDKs before 5.3 send no token
		old.IdempotencyToken = ""
		p, err = r.Connect(t.Context(), old)
		expect.OK(t, err)
		expect.OK(t, r.End(t.Context(), p.Key, compute.Crashed))
		_, err = r.Connect(t.Context(), old)
		turnedAway(t, "no token then and now", err, 403, "ended")
	})
}

func TestEndedProcessesAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		d := r.dial("one", "p")
		d.Trusted = true
		p, err := r.Connect(t.Context(), d)
		expect.OK(t, err)
		expect.OK(t, r.End(t.Context(), p.Key, compute.Normal))
		r.tick(24 * time.Hour)
		expect.Same(t, "after a day", r.read(p).Status, compute.StatusEnded)
		due, _, err := r.Due(t.Context())
		expect.OK(t, err)
		r.tick(due.Sub(r.clock.Now()))
		expect.Same(t, "on a full hour", due, due.Truncate(time.Hour))
		anew, err := r.Connect(t.Context(), d)
		expect.OK(t, err)
		if anew.Key == p.Key || anew.Status != compute.StatusConnected {
			t.Errorf("the forgotten process came back: %+v", anew)
		}
	})
}

func TestTickRepeatedDoesNothingMore(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		_, ok, err := r.Due(t.Context())
		expect.OK(t, err)
		expect.Same(t, "due on an empty room", ok, false)
		r.register("one", east)
		r.connect("one", "p")
		r.tick(time.Hour)
		r.tick(0)
		r.tick(0)
		expect.Same(t, "ended", strings.Join(r.ended, ", "), "p: ReadyTimeout")
		expect.Same(t, "events", r.events(), "SERVER_PROCESS_PROCESS_READY_TIMEOUT x1")
	})
}

func TestSweepGoesPastOneThatCannotEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		for i := range 1003 { // more than a batch
			d := r.dial("one", fmt.Sprintf("p%04d", i))
			_, err := r.Connect(t.Context(), d)
			expect.OK(t, err)
		}
		broken := errors.New("broken")
		n := 0
		r.Ended = func(_ *store.Tx, p compute.Process, _ compute.EndReason) error {
			if p.ProcessID == "p0001" {
				return broken
			}
			n++
			return nil
		}
		r.clock.Advance(5 * time.Minute)
		err := r.Tick(t.Context(), r.clock.Now())
		if !errors.Is(err, broken) {
			t.Errorf("Tick: %v, want the hook's error", err)
		}
		expect.Same(t, "ended", n, 1002)
	})
}

func TestKeep(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		var held []compute.Socket
		hold := func(p compute.Process) compute.Socket {
			s := compute.Socket{Process: p.Key, Dial: p.Dial}
			held = append(held, s)
			return s
		}
		old := hold(r.ready("one", "superseded"))
		hold(r.connect("one", "superseded"))
		p := r.ready("one", "ended")
		dead := hold(p)
		expect.OK(t, r.End(t.Context(), p.Key, compute.Unhealthy))
		unknown := compute.Socket{Process: 1, Dial: 1}
		held = append(held, unknown)
		stale, err := r.Keep(t.Context(), held)
		expect.OK(t, err)
		if want := []compute.Socket{old, dead, unknown}; !slices.Equal(stale, want) {
			t.Errorf("stale: %v, want %v", stale, want)
		}
		stale, err = r.Keep(t.Context(), nil)
		expect.OK(t, err)
		expect.Same(t, "of none", len(stale), 0)
	})
}

func TestSocketsOfDeadNodes(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.register("two", east)
		mine, busy := r.ready("one", "mine"), r.ready("two", "busy")
		idle := r.ready("two", "idle")
		expect.Same(t, "reserved", r.reserved(east)+r.reserved(east), "minebusy")
		r.tick(time.Hour)
		expect.Same(t, "while the node lives", len(r.ended), 0)

		// busy and idle are held by a node of which nobody has heard.
		r.write(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE process SET node = 'node-dead' WHERE key IN ($1, $2)`, busy.Key, idle.Key)
			return err
		})
		r.tick(0)
		for _, p := range []compute.Process{busy, idle} {
			expect.Same(t, p.ProcessID, r.read(p).Connected, false)
		}
		expect.Same(t, "mine", r.read(mine).Connected, true)
		r.full(east, "1 are ready", "connected")

		// One comes back in time, the other does not. The grace began with the sweep.
		r.tick(199 * time.Second)
		expect.Same(t, "within the grace", len(r.ended), 0)
		r.connect("two", "idle")
		expect.Same(t, "back", r.reserved(east), "idle")
		r.tick(time.Second)
		expect.Same(t, "ended", strings.Join(r.ended, ", "), "busy: Crashed")
	})
}

// A node that was thought dead, and whose sockets are still there, has them again.
func TestKeepTakesSocketsBack(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		p := r.ready("one", "p")
		held := []compute.Socket{{Process: p.Key, Dial: p.Dial}}
		r.write(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE process SET node = 'node-dead' WHERE key = $1`, p.Key)
			return err
		})
		r.tick(0)
		r.full(east, "connected")
		stale, err := r.Keep(t.Context(), held)
		expect.OK(t, err)
		expect.Same(t, "stale", len(stale), 0)
		r.tick(time.Hour)
		expect.Same(t, "ended", len(r.ended), 0)
		expect.Same(t, "placeable", r.reserved(east), "p")
	})
}

func TestRestartLosesNothing(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		p, q := r.ready("one", "p"), r.ready("one", "q")
		expect.Same(t, "reserved", r.reserved(east), "p")
		r.write(func(tx *store.Tx) error { return r.SendTx(tx, p.Key, compute.CreateGameSession{GameSessionID: "arn"}) })

		// Another room on the same database, as after a restart: it knows what this one knew.
		s := service(r.DB)
		d := r.dial("one", "p")
		again, err := s.Connect(t.Context(), d)
		expect.OK(t, err)
		expect.Same(t, "status", again.Status, compute.StatusHosting)
		expect.Same(t, "port", again.Port, 7000)
		inbox, err := s.TakeInbox(t.Context(), []store.Key{p.Key, q.Key})
		expect.OK(t, err)
		expect.Same(t, "what waited", len(inbox), 1)
		next, err := reserve(t, s, r.fleet, east)
		expect.OK(t, err)
		expect.Same(t, "next", next.ProcessID, "q")
	})
}

func TestInbox(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		var notes []string
		r.DB.Subscribe(compute.ChannelProcess, func(key string) { notes = append(notes, key) })
		p, q := r.ready("one", "p"), r.ready("one", "q")
		send := func(to compute.Process, name string) {
			t.Helper()
			r.write(func(tx *store.Tx) error {
				return r.SendTx(tx, to.Key, compute.CreateGameSession{GameSessionID: name})
			})
		}
		take := func() string {
			t.Helper()
			list, err := r.TakeInbox(t.Context(), []store.Key{q.Key, p.Key})
			expect.OK(t, err)
			return texts(list)
		}
		expect.Same(t, "at first", take(), "")
		for i := range 12 {
			send(p, fmt.Sprintf("p%d", i))
		}
		send(q, "q0")
		expect.Same(t, "notes", len(notes), 13)
		expect.Same(t, "note", notes[12], strconv.FormatInt(int64(q.Key), 10))
		list, err := r.TakeInbox(t.Context(), []store.Key{p.Key, q.Key})
		expect.OK(t, err)
		expect.Same(t, "in order", texts(list), "p0 p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11 q0")
		expect.Same(t, "once", take(), "")

		// Some could not be sent; others came meanwhile.
		send(p, "p12")
		notes = nil
		expect.OK(t, r.PutBack(t.Context(), list[10:]))
		expect.OK(t, r.PutBack(t.Context(), list[10:]))
		expect.Same(t, "notes", len(notes), 3)
		expect.Same(t, "after putting back", take(), "p10 p11 p12 q0")

		expect.OK(t, r.End(t.Context(), q.Key, compute.Normal))
		send(q, "q1")
		expect.OK(t, r.PutBack(t.Context(), list[12:]))
		expect.Same(t, "of an ended process", take(), "")

		send(p, "p13")
		expect.OK(t, r.End(t.Context(), p.Key, compute.Normal))
		expect.Same(t, "of one that ended meanwhile", take(), "")
		err = r.DB.Write(t.Context(), func(tx *store.Tx) error { return r.SendTx(tx, p.Key, &compute.TerminateProcess{}) })
		if err == nil || !strings.Contains(err.Error(), "TerminateProcess") {
			t.Errorf("a pointer: %v, want an error", err)
		}
	})
}

// texts are the game session ids of messages.
func texts(list []compute.Message) string {
	var ids []string
	for _, m := range list {
		_, rest, _ := strings.Cut(string(m.Text), `"GameSessionId":"`)
		id, _, _ := strings.Cut(rest, `"`)
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

func TestNothingOfARolledBackReservationStays(t *testing.T) {
	each(t, func(t *testing.T, r *rooms) {
		r.register("one", east)
		r.ready("one", "p")
		broken := errors.New("broken")
		err := r.DB.Write(t.Context(), func(tx *store.Tx) error {
			f, err := r.Fleets.GetTx(tx, arn.FleetID(r.fleet))
			if err != nil {
				return err
			}
			if _, err := r.ReserveTx(tx, f, east); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		expect.Same(t, "still free", r.reserved(east), "p")
	})
}
