package build

import (
	"context"
	"errors"
	"time"

	"github.com/matchyard/matchyard/internal/store"
)

// trashTx lets a file go from an instant on. Said again, the earlier instant counts.
func trashTx(tx *store.Tx, blob string, after time.Time) error {
	_, err := tx.Exec(`INSERT INTO build_trash (blob, after) VALUES ($1, $2)
		ON CONFLICT (blob) DO UPDATE SET after = CASE WHEN excluded.after < build_trash.after THEN excluded.after ELSE build_trash.after END`,
		blob, after.UnixMilli())
	return err
}

const (
	sweepBatch = 100
	// retryAfter is when a file is tried again that could not be removed.
	retryAfter = time.Minute
)

// Tick ends uploads that took too long and credentials that expired, and removes files that
// nobody needs.
func (s *Service) Tick(ctx context.Context, now time.Time) error {
	return errors.Join(s.expire(ctx, now), s.sweep(ctx, now))
}

// Due is the next instant at which Tick has something to do.
func (s *Service) Due(ctx context.Context) (time.Time, bool, error) {
	var at *int64
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT MIN(at) FROM (
			SELECT MIN(after) AS at FROM build_trash
			UNION ALL SELECT MIN(expires_at) AS at FROM build_credential
			UNION ALL SELECT MIN(expires_at) AS at FROM build_upload) AS next`).Scan(&at)
	})
	if err != nil || at == nil {
		return time.Time{}, false, err
	}
	return time.UnixMilli(*at).UTC(), true, nil
}

func (s *Service) expire(ctx context.Context, now time.Time) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM build_credential WHERE expires_at <= $1`, now.UnixMilli()); err != nil {
			return err
		}
		keys, err := keysOf(tx, `SELECT key FROM build_upload WHERE expires_at <= $1 ORDER BY key`+tx.ForUpdate(), now.UnixMilli())
		if err != nil {
			return err
		}
		var freed int64
		for _, key := range keys {
			n, err := dropPartsTx(tx, key, 0)
			if err != nil {
				return err
			}
			freed += n
			if _, err := tx.Exec(`DELETE FROM build_upload WHERE key = $1`, key); err != nil {
				return err
			}
		}
		return giveTx(tx, quotaBuildBytes, freed)
	})
}

// sweep removes files from the store and then from the list, so that one that is removed
// twice does no harm and none is forgotten.
func (s *Service) sweep(ctx context.Context, now time.Time) error {
	for {
		blobs, err := s.rubbish(ctx, now)
		if err != nil || len(blobs) == 0 {
			return err
		}
		var gone, stuck []string
		var errs []error
		for _, b := range blobs {
			if err := s.Blobs.Delete(ctx, b); err != nil {
				stuck, errs = append(stuck, b), append(errs, err)
				continue
			}
			gone = append(gone, b)
		}
		err = s.DB.Write(ctx, func(tx *store.Tx) error {
			if _, err := tx.Exec(`UPDATE build_trash SET after = $2 WHERE `+tx.In("blob", 1), store.List(tx, stuck), now.Add(retryAfter).UnixMilli()); err != nil {
				return err
			}
			_, err := tx.Exec(`DELETE FROM build_trash WHERE `+tx.In("blob", 1), store.List(tx, gone))
			return err
		})
		if err = errors.Join(append(errs, err)...); err != nil || len(blobs) < sweepBatch {
			return err
		}
	}
}

// rubbish are files to remove. What is in use is not: an acceptance whose answer was lost
// leaves its file here and in use.
func (s *Service) rubbish(ctx context.Context, now time.Time) (blobs []string, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM build_trash WHERE after <= $1 AND (blob IN (SELECT blob FROM build WHERE blob IS NOT NULL)
			OR blob IN (SELECT blob FROM script) OR EXISTS (SELECT 1 FROM build_part p WHERE p.blob = build_trash.blob))`, now.UnixMilli())
		if err != nil {
			return err
		}
		blobs, err = store.Column[string](tx.Query(`SELECT blob FROM build_trash WHERE after <= $1 ORDER BY after, blob LIMIT $2`, now.UnixMilli(), sweepBatch))
		return err
	})
	return blobs, err
}
