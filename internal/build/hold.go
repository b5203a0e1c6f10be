package build

import (
	"errors"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// HoldTx gives a fleet its own right to a build's file: DeleteBuild takes the build away,
// and the file stays until the last fleet releases it (hosting.md 1.5). A build that was
// deleted meanwhile is a NotFoundException. Holding twice is holding once.
func (s *Service) HoldTx(tx *store.Tx, build store.Key, fleet arn.FleetID) error {
	b, err := buildByKey(tx, build, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) || err == nil && b.deleted {
		return apierr.NotFound("BuildId: the build does not exist any more")
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO build_hold (build, fleet) VALUES ($1, $2) ON CONFLICT DO NOTHING`, build, string(fleet))
	return err
}

// ReleaseTx gives a fleet's right up. With the last one the file of a deleted build goes.
// Releasing what is not held is no error.
func (s *Service) ReleaseTx(tx *store.Tx, build store.Key, fleet arn.FleetID) error {
	b, err := buildByKey(tx, build, tx.ForUpdate())
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM build_hold WHERE build = $1 AND fleet = $2`, build, string(fleet)); err != nil || !b.deleted {
		return err
	}
	return s.dropTx(tx, b)
}

// dropTx removes a deleted build's row and file, unless a fleet holds it. The row is locked.
func (s *Service) dropTx(tx *store.Tx, b Build) error {
	n, err := tx.Exec(`DELETE FROM build WHERE key = $1 AND NOT EXISTS (SELECT 1 FROM build_hold WHERE build = $1)`, b.Key)
	if err != nil || n == 0 || b.Blob == "" {
		return err
	}
	return trashTx(tx, b.Blob, tx.Now)
}

// File is a file of a build or a script.
type File struct {
	Blob string // its key in the blob store
	Size int64
}

// FileTx is the file of a build or of a script, by the key of either. A build's is found
// also after DeleteBuild, while a fleet holds it. Without one the error is store.ErrNoRows:
// a script's file goes with the script, and a build that is not READY may have none.
func (s *Service) FileTx(tx *store.Tx, key store.Key) (File, error) {
	var f File
	err := tx.QueryRow(`SELECT blob, size FROM build WHERE key = $1 AND blob IS NOT NULL
		UNION ALL SELECT blob, size FROM script WHERE key = $1`, key).Scan(&f.Blob, &f.Size)
	return f, err
}
