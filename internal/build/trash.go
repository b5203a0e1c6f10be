package build

import (
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
