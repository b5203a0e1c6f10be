package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

func TestBatcherAnswersEachCallItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		odd := errors.New("odd")
		b := &store.Batcher[int, string]{DB: db, Max: 7, Run: func(tx *store.Tx, in []int) ([]string, []error, error) {
			out, errs := make([]string, len(in)), make([]error, len(in))
			for i, n := range in {
				if n%2 == 1 {
					errs[i] = odd
					continue
				}
				out[i] = fmt.Sprint(n)
				if _, err := tx.Exec(`INSERT INTO lease (name, holder, expires_at) VALUES ($1, $2, $3)`, out[i], "me", 1); err != nil {
					return nil, nil, err
				}
			}
			return out, errs, nil
		}}
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				out, err := b.Do(context.Background(), n)
				if n%2 == 1 && !errors.Is(err, odd) || n%2 == 0 && (err != nil || out != fmt.Sprint(n)) {
					t.Errorf("%d: got %q, %v", n, out, err)
				}
			})
		}
		all.Wait()
	})
}
