package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"
	"time"
)

// Key is a row's integer key: 41 bits of milliseconds since 2020, 10 bits of node, 12 bits
// of counter. Keys of one node only grow, also when the clock stands still or goes back;
// then they run ahead of it. Tables keyed by it grow at their end, which is what makes
// inserts cheap.
type Key int64

const (
	keyEpoch    = 1577836800000 // 2020-01-01T00:00:00Z
	nodeBits    = 10
	counterBits = 12
)

// keyAhead is how many milliseconds of keys a node reserves at once.
const keyAhead = 1000

// keyMaker makes the keys of one node. Its number is the node's while its row in table node
// lives; term counts the numbers it had.
type keyMaker struct {
	mu     sync.Mutex
	number int
	term   int
	last   Key       // without the number
	upto   int64     // milliseconds that node_number holds for number
	lapse  time.Time // from when another node may take number; zero: never
}

// next makes a key and tells in which term.
func (m *keyMaker) next(now time.Time) (k Key, term int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k = Key(now.UnixMilli()-keyEpoch) << counterBits
	if k <= m.last {
		k = m.last + 1
	}
	m.last = k
	ms, count := k>>counterBits, k&(1<<counterBits-1)
	return ms<<(nodeBits+counterBits) | Key(m.number)<<counterBits | count, m.term
}

// begin gives the maker a number of which keys up to the millisecond upto may exist.
func (m *keyMaker) begin(number int, upto int64, lapse time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number, m.upto, m.lapse = number, upto, lapse
	m.last = Key(upto+1)<<counterBits - 1
	m.term++
}

// state is the number and its term, how far its keys are reserved, and whether it is still
// this node's.
func (m *keyMaker) state() (s keyState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return keyState{m.number, m.term, m.upto, m.last, m.term > 0 && !past(m.lapse)}
}

type keyState struct {
	number, term int
	upto         int64
	last         Key
	good         bool
}

// past tells whether t is over, by the monotonic clock or by the wall clock: the first
// stands still while the machine sleeps, the second may be set back.
func past(t time.Time) bool {
	now := time.Now()
	return !t.IsZero() && (!now.Before(t) || !now.Round(0).Before(t.Round(0)))
}

func (m *keyMaker) reserved(term int, upto int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if term == m.term {
		m.upto = max(m.upto, upto)
	}
}

// renewed moves the end of the number to lapse, perhaps into the past.
func (m *keyMaker) renewed(term int, lapse time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if term == m.term {
		m.lapse = lapse
	}
}

// Tail is the secret part of a public id: 52 random bits kept beside the key, so that ids
// cannot be guessed from their neighbours.
func Tail() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 12)
}

// UUID is the public form of a key: a version 7 UUID whose first 74 free bits are the key
// and whose last 52 are the tail. UUIDs sort as their keys do.
func (k Key) UUID(tail int64) string {
	low := uint64(k) & (1<<22 - 1)
	hi := (uint64(k)>>22+keyEpoch)<<16 | 0x7000 | low>>10
	lo := uint64(0b10)<<62 | (low&(1<<10-1))<<52 | uint64(tail)&(1<<52-1)
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], hi)
	binary.BigEndian.PutUint64(raw[8:], lo)
	var text [36]byte
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

var errNotKey = errors.New("not a version 7 UUID made from a key")

// ParseUUID takes a UUID made by Key.UUID apart. Only lower-case text is accepted, so an
// id has one spelling.
func ParseUUID(s string) (Key, int64, error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return 0, 0, errNotKey
	}
	for _, c := range []byte(s) {
		if 'A' <= c && c <= 'F' {
			return 0, 0, errNotKey
		}
	}
	var raw [16]byte
	for _, part := range [...]struct{ at, from, to int }{{0, 0, 8}, {4, 9, 13}, {6, 14, 18}, {8, 19, 23}, {10, 24, 36}} {
		if _, err := hex.Decode(raw[part.at:], []byte(s[part.from:part.to])); err != nil {
			return 0, 0, errNotKey
		}
	}
	hi, lo := binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])
	ms := hi >> 16
	if hi&0xf000 != 0x7000 || lo>>62 != 0b10 || ms < keyEpoch || (ms-keyEpoch)>>41 != 0 {
		return 0, 0, errNotKey
	}
	k := Key((ms-keyEpoch)<<22 | (hi&0xfff)<<10 | lo>>52&(1<<10-1))
	return k, int64(lo & (1<<52 - 1)), nil
}
