package session_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

func TestReservationTimesOut(t *testing.T) {
	each(t, func(r *rooms) {
		g := r.open(1)
		id := r.joined(g, "ann")
		_, err := r.join(g, "bob")
		refused(t, "second player", err, full, "1 of 1")

		r.tick(60*time.Second - time.Millisecond)
		same(t, "status just before the deadline", r.player(id).Status, types.PlayerSessionStatusReserved)
		due, ok, err := r.Due(t.Context())
		must(t, err)
		same(t, "due", due.Sub(r.clock.Now()), time.Millisecond)
		same(t, "is due", ok, true)

		r.clock.Advance(time.Millisecond)
		refused(t, "accept at the deadline, before any sweep", r.AcceptPlayer(t.Context(), g.process, g.id, id), invalid, "TIMEDOUT instead of RESERVED")
		r.tick(0)
		p := r.player(id)
		same(t, "status", p.Status, types.PlayerSessionStatusTimedout)
		same(t, "termination", p.TerminationTime.Sub(*p.CreationTime), time.Minute)
		same(t, "count", *r.game(g.id).CurrentPlayerSessionCount, 0)
		refused(t, "accept", r.AcceptPlayer(t.Context(), g.process, g.id, id), invalid, "has a status of TIMEDOUT instead of RESERVED", id)
		r.joined(g, "bob")
	})
}
