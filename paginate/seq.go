package paginate

import "iter"

// Map gives f of every item. Errors pass through. Here and below, one item of the
// given sequence is drawn for each step and none ahead, so that ResumeToken of
// the Iter underneath stays exact.
func Map[A, B any](seq iter.Seq2[A, error], f func(A) B) iter.Seq2[B, error] {
	return func(yield func(B, error) bool) {
		for a, err := range seq {
			var b B
			if err == nil {
				b = f(a)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// Filter gives the items that keep accepts. Errors pass through.
func Filter[A any](seq iter.Seq2[A, error], keep func(A) bool) iter.Seq2[A, error] {
	return func(yield func(A, error) bool) {
		for a, err := range seq {
			if err == nil && !keep(a) {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// Take gives the first n items and draws no more than those; with n of 0 or less
// it makes no call at all. An error before them passes through.
func Take[A any](seq iter.Seq2[A, error], n int) iter.Seq2[A, error] {
	return func(yield func(A, error) bool) {
		if n <= 0 {
			return
		}
		left := n
		for a, err := range seq {
			if !yield(a, err) {
				return
			}
			if err != nil {
				continue
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// Chunk gathers items into slices of n, such as the 25 players of a call of
// CreatePlayerSessions; the last may be shorter. An error comes after the items
// that were gathered before it. Each slice is the caller's to keep. Chunk panics
// if n is less than 1, as slices.Chunk does.
func Chunk[A any](seq iter.Seq2[A, error], n int) iter.Seq2[[]A, error] {
	if n < 1 {
		panic("paginate: Chunk of less than 1")
	}
	return func(yield func([]A, error) bool) {
		var chunk []A
		for a, err := range seq {
			if err != nil {
				if len(chunk) > 0 && !yield(chunk, nil) {
					return
				}
				chunk = nil
				if !yield(nil, err) {
					return
				}
				continue
			}
			if chunk == nil {
				chunk = make([]A, 0, n)
			}
			if chunk = append(chunk, a); len(chunk) == n {
				if !yield(chunk, nil) {
					return
				}
				chunk = nil
			}
		}
		if len(chunk) > 0 {
			yield(chunk, nil)
		}
	}
}
