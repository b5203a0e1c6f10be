package host

import (
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// logKey is where the log archive of a game session lies.
func logKey(f arn.FleetID, game string) string { return "logs/" + string(f) + "/" + game + ".zip" }

// hosted is a game session that ran, or runs, on the host that reports: agents have no
// business with others.
func (r *reporting) hosted(id string) (f arn.FleetID, game, on string, ok bool, err error) {
	f, c, game, found, err := r.s.Sessions.ComputeTx(r.tx, arn.GameSessionID(id))
	if err != nil || !found {
		return "", "", "", false, err
	}
	var host store.Key
	err = r.tx.QueryRow(`SELECT host FROM instance WHERE id = $1`, c).Scan(&host)
	if errors.Is(err, store.ErrNoRows) {
		return "", "", "", false, nil
	}
	return f, game, string(c), err == nil && host == r.host && !strings.ContainsAny(game, "/\\"), err
}

func (r *reporting) wantUpload(m *hostmsg.WantUpload) error {
	f, game, _, ok, err := r.hosted(m.GameSession)
	if err != nil || !ok {
		return err
	}
	r.answers = append(r.answers, &hostmsg.Upload{
		GameSession: m.GameSession, URL: r.s.Links.Put(logKey(f, game), linkLife, r.s.Config.orDefaults().LogLimit),
	})
	return nil
}

func (r *reporting) uploaded(m *hostmsg.Uploaded) error {
	f, game, on, ok, err := r.hosted(m.GameSession)
	if err != nil || !ok {
		return err
	}
	if m.Failed != "" {
		return r.s.Fleets.EventTx(r.tx, f, types.EventCodeComputeLogUploadFailed, "Logs of a game session on compute "+on+" were not stored: "+m.Failed)
	}
	_, err = r.tx.Exec(`INSERT INTO game_log (fleet_id, game, blob, size, stored_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (fleet_id, game) DO UPDATE SET size = $4, stored_at = $5`, f, game, logKey(f, game), m.Size, r.tx.NowMs())
	return err
}

// LogURL makes a link to the log archive of a game session, for session.Service.LogURL.
func (s *Service) LogURL(tx *store.Tx, id arn.GameSessionID, _ time.Time) (url string, found bool, err error) {
	p, err := arn.ParseGameSession(string(id))
	if err != nil {
		return "", false, nil //nolint:nilerr // no such game session, no log
	}
	var key string
	err = tx.QueryRow(`SELECT blob FROM game_log WHERE fleet_id = $1 AND game = $2`, p.Fleet, p.ID).Scan(&key)
	if errors.Is(err, store.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return s.Links.Get(key, logLinkLife, p.ID+".zip"), true, nil
}
