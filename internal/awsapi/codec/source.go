package codec

import (
	"errors"
	"time"
)

// source reads the values of one body, front to back. Every read skips what may stand
// before a value (spaces, foreign tags) and fails with an error that says what was found.
type source interface {
	null() (bool, error) // consumes a null or an undefined, if that comes next
	str() (string, error)
	integer() (int64, error)
	float() (float64, error)
	boolean() (bool, error)
	timestamp() (time.Time, error)
	blob() ([]byte, error)

	// enterMap begins a map; nextKey then reads a key, or ends the map and says false.
	enterMap() error
	nextKey() (string, bool, error)
	// enterList begins a list; nextElement then says whether an element follows, or ends it.
	enterList() error
	nextElement() (bool, error)

	skip() error // passes over one value of any type
	end() error  // nothing may follow the value that was read
}

const (
	maxNesting = 64 // of lists and maps; the model's deepest input has 8

	// maxElements bounds the elements of all lists and maps of one body together, so that
	// a few megabytes of "{}," cannot grow into gigabytes of structures.
	maxElements = 100_000
)

var (
	errNesting   = errors.New("lists and maps nest too deeply")
	errElements  = errors.New("too many elements in lists and maps")
	errTruncated = errors.New("the body ends in the middle of a value")
	errTrailing  = errors.New("something follows the end of the value")
	errUTF8      = errors.New("text is not valid UTF-8")
	errTime      = errors.New("the time is out of range")
)

const (
	minSeconds = -62135596800 // year 1
	maxSeconds = 253402300799 // the end of year 9999
)

// fromSeconds makes an instant of epoch seconds, to the millisecond.
func fromSeconds(f float64) (time.Time, error) {
	if !(f >= minSeconds && f <= maxSeconds) { // also refuses NaN
		return time.Time{}, errTime
	}
	ms := f * 1000
	if ms < 0 {
		return time.UnixMilli(int64(ms - 0.5)).UTC(), nil
	}
	return time.UnixMilli(int64(ms + 0.5)).UTC(), nil
}
