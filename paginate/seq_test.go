package paginate_test

import (
	"errors"
	"iter"
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"

	"github.com/matchyard/matchyard/paginate"
)

var errEnd = errors.New("the end")

// counting gives 0 to n-1 and then, if failing, an error. It counts in drawn what
// was drawn of it.
func counting(n int, failing bool, drawn *int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			*drawn++
			if !yield(i, nil) {
				return
			}
		}
		if failing {
			*drawn++
			yield(0, errEnd)
		}
	}
}

// gather reads up to n values, all if n is negative, and notes errors in place.
func gather[A any](seq iter.Seq2[A, error], n int) (values []A, failures int) {
	for v, err := range seq {
		if err != nil {
			failures++
			continue
		}
		if values = append(values, v); len(values) == n {
			break
		}
	}
	return values, failures
}

func TestMapAndFilter(t *testing.T) {
	drawn := 0
	even := func(i int) bool { return i%2 == 0 }
	square := func(i int) int { return i * i }
	got, failures := gather(paginate.Map(paginate.Filter(counting(7, true, &drawn), even), square), -1)
	if !slices.Equal(got, []int{0, 4, 16, 36}) || failures != 1 {
		t.Errorf("%v, %d errors", got, failures)
	}
	drawn = 0
	got, _ = gather(paginate.Map(paginate.Filter(counting(7, true, &drawn), even), square), 2)
	if !slices.Equal(got, []int{0, 4}) || drawn != 3 {
		t.Errorf("%v of %d drawn", got, drawn)
	}
}

func TestTake(t *testing.T) {
	for _, c := range []struct{ n, drawn, failures int }{{-1, 0, 0}, {0, 0, 0}, {1, 1, 0}, {5, 5, 0}, {6, 6, 1}} {
		drawn := 0
		got, failures := gather(paginate.Take(counting(5, true, &drawn), c.n), -1)
		if len(got) != min(max(c.n, 0), 5) || drawn != c.drawn || failures != c.failures {
			t.Errorf("Take %d: %v of %d drawn, %d errors", c.n, got, drawn, failures)
		}
	}
}

func TestChunk(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(r, "items")
		size := rapid.IntRange(1, 8).Draw(r, "chunk")
		failing := rapid.Bool().Draw(r, "failing")
		drawn := 0
		got, failures := gather(paginate.Chunk(counting(n, failing, &drawn), size), -1)
		var all []int
		for i := range n {
			all = append(all, i)
		}
		if want := slices.Collect(slices.Chunk(all, size)); !reflect.DeepEqual(got, want) {
			r.Errorf("got %v, want %v", got, want)
		}
		if failing != (failures == 1) {
			r.Errorf("%d errors", failures)
		}
		for i := range got { // each slice is its own
			_ = append(got[i], -1)
		}
		if !slices.Equal(slices.Concat(got...), all) {
			r.Errorf("chunks share memory: %v", got)
		}
	})
	drawn := 0
	if gather(paginate.Chunk(counting(9, true, &drawn), 3), 2); drawn != 6 {
		t.Errorf("two chunks of 3 drew %d", drawn)
	}
	drawn = 0
	if gather(paginate.Chunk(counting(5, true, &drawn), 3), 2); drawn != 6 {
		t.Errorf("the short chunk before the error: %d drawn", drawn)
	}
	defer func() {
		if recover() == nil {
			t.Error("Chunk of 0 did not panic")
		}
	}()
	paginate.Chunk(counting(1, false, &drawn), 0)
}

// Through the helpers, too, the resume token stands behind what was drawn.
func TestHelpersKeepTheResumeToken(t *testing.T) {
	it := newIter(t, list(9, 4), paginate.Options{})
	odd := paginate.Filter(it.Items(t.Context()), func(p types.PlayerSession) bool { return id(p)[1]%2 == 1 })
	got, _ := gather(paginate.Map(paginate.Take(odd, 3), id), -1)
	token, more := it.ResumeToken()
	if want := (paginate.Token{Next: new("t4"), Skip: 2}).String(); !slices.Equal(got, []string{"p1", "p3", "p5"}) || !more || token != want {
		t.Errorf("%v, %s", got, token)
	}
}
