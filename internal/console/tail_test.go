package console_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/host"
)

// The log of a game session is read by who may, and no longer than that.
func TestLogsAreReadByWhoMay(t *testing.T) {
	each(t, func(d *desk) {
		d.settle()
		id := d.game("g", "alice")
		var check func(ctx context.Context) error
		d.Tail = func(w http.ResponseWriter, r *http.Request, game arn.GameSessionID, c func(ctx context.Context) error) error {
			if err := c(r.Context()); err != nil {
				return err
			}
			if string(game) != id {
				return &host.NoTail{Code: host.TailNoAgent, Text: "it is elsewhere"}
			}
			check = c
			_, err := w.Write([]byte(`{"lines":1}`))
			return err
		}
		d.read(http.StatusBadRequest, "tail")
		if v := d.read(http.StatusConflict, "tail", "id", "another"); v["code"] != "NoAgent" || v["error"] != "it is elsewhere" {
			d.t.Errorf("another: %v", v)
		}
		d.read(http.StatusOK, "tail", "id", id) // a development server shows it to anybody

		keys := d.lock()
		keys.Operations = append(keys.Operations, "GetGameSessionLogUrl")
		reader, err := keys.Create(d.t.Context(), "reader", "GetGameSessionLogUrl")
		must(d.t, err)
		other, err := keys.Create(d.t.Context(), "other", "DescribeGameSessions")
		must(d.t, err)
		d.come()
		if v := d.read(http.StatusUnauthorized, "tail", "id", id); v["code"] != "SignInNeeded" {
			d.t.Errorf("a stranger: %v", v)
		}
		d.signIn(http.StatusOK, other.ID, string(other.Secret))
		if v := d.read(http.StatusForbidden, "tail", "id", id); v["code"] != "AccessDeniedException" {
			d.t.Errorf("who may not: %v", v)
		}
		d.signIn(http.StatusOK, reader.ID, string(reader.Secret))
		d.read(http.StatusOK, "tail", "id", id)
		must(d.t, check(d.t.Context()))
		must(d.t, keys.Revoke(d.t.Context(), reader.ID))
		if check(d.t.Context()) == nil {
			d.t.Error("a revoked key reads on")
		}
	})
}
