package store_test

import (
	"errors"
	"testing"

	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func TestAColumn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		expect.OK(t, db.Read(t.Context(), func(tx *store.Tx) error {
			list, err := store.Column[int64](tx.Query(`SELECT 3 UNION ALL SELECT 1 UNION ALL SELECT 3`))
			expect.OK(t, err)
			expect.Same(t, "all rows, in order", expect.JSON(list), "[3,1,3]")
			set, err := store.Set[int64](tx.Query(`SELECT 3 UNION ALL SELECT 1 UNION ALL SELECT 3`))
			expect.OK(t, err)
			expect.Same(t, "as a set", expect.JSON(set), `{"1":true,"3":true}`)
			set, err = store.Set[int64](tx.Query(`SELECT 1 WHERE 1 = 0`))
			expect.Same(t, "no row is an empty set", err == nil && set != nil && len(set) == 0, true)
			return nil
		}))
		// What Query or a scan returns is returned, and the rows are closed: the next query runs.
		gone := errors.New("no such row")
		expect.OK(t, db.Read(t.Context(), func(tx *store.Tx) error {
			_, err := store.All(func(store.Scanner) (int, error) { return 0, gone })(tx.Query(`SELECT 1 UNION ALL SELECT 2`))
			expect.Same(t, "the scan's error", err, gone)
			_, err = store.Column[int64](nil, gone)
			expect.Same(t, "the query's error", err, gone)
			list, err := store.Column[int64](tx.Query(`SELECT 1 UNION ALL SELECT 2`))
			expect.OK(t, err)
			expect.Same(t, "the next query", len(list), 2)
			return nil
		}))
	})
}
