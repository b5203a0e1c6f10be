// Package page makes and reads NextToken, the place where a listing goes on. It owns the
// token's form and its binding to one listing; it knows no table and no order: a room puts
// the last row's key in and gets it back.
//
// The form follows wire-protocol.md 5.1: standard base64 of bytes that begin with 0xFF, so
// that botocore, which tries to read a starting token as base64 of JSON or as text with
// "___" in it, passes ours through untouched.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/matchyard/matchyard/internal/apierr"
)

const (
	mark    = 0xFF // never the first byte of UTF-8
	macSize = 16
	// MaxToken is the longest token there is: the model allows 1024 characters, and the C++
	// server SDK keeps one of them for its closing zero.
	MaxToken = 1023
)

// Size is the number of rows a page may hold: the caller's limit, or def when there is
// none, and never more than most.
func Size(limit *int32, def, most int32) int {
	if limit == nil || *limit < 1 {
		return int(min(def, most))
	}
	return int(min(*limit, most))
}

// Cut makes a page of rows of which one more than size was asked for, and the token of the
// next page, which token makes of the last row; nil when there is none.
func Cut[T any](rows []T, size int, token func(last T) string) (list []T, next *string) {
	if len(rows) <= size {
		return rows, nil
	}
	return rows[:size], new(token(rows[size-1]))
}

// Encode makes the token of a listing's next page. op is the operation; bind is whatever
// else the token depends on: the request's parameters without Limit and NextToken, marshalled
// as JSON. The cursor is the position: integers (of any integer type) and short strings.
// Tokens of one listing differ when their cursors differ, so a listing that moves on never
// repeats the token it received. A cursor too long for MaxToken is a fault of the caller's
// program and panics; keys, times and short names are what it is for.
func Encode(op string, bind any, cursor ...any) string {
	raw := make([]byte, 1+macSize, 64)
	raw[0] = mark
	for _, c := range cursor {
		raw = appendValue(raw, c)
	}
	sum := mac(op, bind, raw[1+macSize:])
	copy(raw[1:], sum[:])
	token := base64.StdEncoding.EncodeToString(raw)
	if len(token) > MaxToken {
		panic(fmt.Sprintf("page: token of %s has %d characters", op, len(token)))
	}
	return token
}

// Decode reads a token back into pointers of the types Encode was given. ok is false when
// there is no token, that is at the start of a listing. A token that was altered, made for
// another operation or for other parameters is an InvalidRequestException naming NextToken
// (sessions-placement.md 1.4).
func Decode(op string, bind any, token *string, cursor ...any) (ok bool, err error) {
	if token == nil {
		return false, nil
	}
	raw, err := base64.StdEncoding.DecodeString(*token)
	// The decoder skips line breaks and spare bits, so only the one spelling counts.
	if err != nil || len(raw) < 1+macSize || raw[0] != mark || base64.StdEncoding.EncodeToString(raw) != *token {
		return false, refuse()
	}
	rest := raw[1+macSize:]
	if mac(op, bind, rest) != [macSize]byte(raw[1:]) {
		return false, refuse()
	}
	for _, c := range cursor {
		if rest, ok = cutValue(rest, c); !ok {
			return false, refuse()
		}
	}
	if len(rest) != 0 {
		return false, refuse()
	}
	return true, nil
}

func refuse() error {
	return apierr.InvalidRequest("NextToken is not one that this operation returned for these parameters")
}

// mac ties a cursor to its listing. It has no secret, on purpose: every node of a cluster
// must read every other's tokens, also after a restart, and a forged token could do no more
// than start the caller's own listing elsewhere.
func mac(op string, bind any, cursor []byte) (sum [macSize]byte) {
	text, err := json.Marshal(bind)
	if err != nil {
		panic(fmt.Sprintf("page: parameters of %s: %v", op, err)) // parameters are plain data
	}
	b := make([]byte, 0, 64+len(op)+len(text)+len(cursor))
	b = append(b, "matchyard page 1\x00"...)
	b = binary.AppendUvarint(b, uint64(len(op)))
	b = append(b, op...)
	b = binary.AppendUvarint(b, uint64(len(text)))
	b = append(b, text...)
	b = append(b, cursor...)
	full := sha256.Sum256(b)
	return [macSize]byte(full[:macSize])
}

const (
	tagInt    = 'i'
	tagString = 's'
)

func appendValue(b []byte, value any) []byte {
	v := reflect.ValueOf(value)
	switch {
	case v.CanInt():
		return binary.AppendVarint(append(b, tagInt), v.Int())
	case v.Kind() == reflect.String:
		b = binary.AppendUvarint(append(b, tagString), uint64(v.Len()))
		return append(b, v.String()...)
	}
	panic(fmt.Sprintf("page: a cursor cannot hold a %T", value))
}

func cutValue(b []byte, target any) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	kind, b := b[0], b[1:]
	v := reflect.ValueOf(target).Elem()
	switch {
	case kind == tagInt && v.CanInt():
		n, size := binary.Varint(b)
		if size <= 0 || v.OverflowInt(n) {
			return nil, false
		}
		v.SetInt(n)
		return b[size:], true
	case kind == tagString && v.Kind() == reflect.String:
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, false
		}
		v.SetString(string(b[size : size+int(n)]))
		return b[size+int(n):], true
	}
	return nil, false
}
