package page

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"pgregory.net/rapid"
)

type key int64

func TestTokenGivesTheCursorBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.String().Draw(t, "op")
		bind := rapid.SliceOf(rapid.String()).Draw(t, "bind")
		k := key(rapid.Int64().Draw(t, "key"))
		name := rapid.StringN(0, 60, 200).Draw(t, "name")

		token := Encode(op, bind, k, name)

		var gotKey key
		var gotName string
		ok, err := Decode(op, bind, &token, &gotKey, &gotName)
		if err != nil || !ok || gotKey != k || gotName != name {
			t.Fatalf("Decode = %v, %v with %d, %q; want %d, %q", ok, err, gotKey, gotName, k, name)
		}
	})
}

func TestNoTokenIsTheStart(t *testing.T) {
	var k key
	if ok, err := Decode("ListFleets", nil, nil, &k); ok || err != nil {
		t.Fatalf("Decode(nil) = %v, %v, want false, nil", ok, err)
	}
}

func TestTokenBelongsToOneListing(t *testing.T) {
	type params struct{ Fleet, Status string }
	token := Encode("DescribeThings", params{"fleet-a", "ACTIVE"}, key(7))
	var k key
	var s string
	for _, c := range []struct {
		name   string
		op     string
		bind   any
		token  string
		target any
	}{
		{"other operation", "DescribeOthers", params{"fleet-a", "ACTIVE"}, token, &k},
		{"other parameter", "DescribeThings", params{"fleet-b", "ACTIVE"}, token, &k},
		{"parameters shifted", "DescribeThings", params{"fleet-aACTIVE", ""}, token, &k},
		{"other cursor type", "DescribeThings", params{"fleet-a", "ACTIVE"}, token, &s},
		{"empty", "DescribeThings", params{"fleet-a", "ACTIVE"}, "", &k},
		{"text", "DescribeThings", params{"fleet-a", "ACTIVE"}, "MTIz", &k},
		{"line break", "DescribeThings", params{"fleet-a", "ACTIVE"}, token[:8] + "\n" + token[8:], &k},
		{"longer", "DescribeThings", params{"fleet-a", "ACTIVE"}, token + "AAAA", &k},
		{"cut", "DescribeThings", params{"fleet-a", "ACTIVE"}, token[:len(token)-4], &k},
	} {
		ok, err := Decode(c.op, c.bind, &c.token, c.target)
		if _, is := errors.AsType[*types.InvalidRequestException](err); ok || !is || !strings.Contains(err.Error(), "NextToken") {
			t.Errorf("%s: Decode = %v, %v, want an InvalidRequestException naming NextToken", c.name, ok, err)
		}
	}
	for _, more := range [][]any{{}, {&k, &k}} {
		if ok, err := Decode("DescribeThings", params{"fleet-a", "ACTIVE"}, &token, more...); ok || err == nil {
			t.Errorf("Decode into %d values = %v, %v, want a refusal", len(more), ok, err)
		}
	}
}

func TestEveryAlteredCharacterIsRefused(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
	token := Encode("ListFleets", "x", key(1<<50), "custom-one")
	for i := range token {
		for _, c := range alphabet {
			altered := token[:i] + string(c) + token[i+1:]
			if altered == token {
				continue
			}
			var k key
			var s string
			if ok, err := Decode("ListFleets", "x", &altered, &k, &s); ok || err == nil {
				t.Fatalf("token altered at %d to %q was accepted", i, c)
			}
		}
	}
}

// TestBotocorePassesTokensThrough holds the rules of wire-protocol.md 5.1.
func TestBotocorePassesTokensThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := Encode("Op", nil, rapid.Int64().Draw(t, "key"), rapid.StringN(0, 40, 160).Draw(t, "name"))
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			t.Fatalf("%q is not standard base64: %v", token, err)
		}
		if utf8.Valid(raw) || json.Valid(raw) {
			t.Fatalf("%q decodes to text", token)
		}
		if token == "" || strings.Contains(token, "_") || len(token) > MaxToken {
			t.Fatalf("token %q", token)
		}
	})
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		limit     *int32
		def, most int32
		want      int
	}{
		{nil, 16, 100, 16},
		{nil, 200, 100, 100},
		{new(int32(1)), 16, 100, 1},
		{new(int32(100)), 16, 100, 100},
		{new(int32(101)), 16, 100, 100},
		{new(int32(0)), 16, 100, 16},
	} {
		if got := Size(c.limit, c.def, c.most); got != c.want {
			t.Errorf("Size(%v, %d, %d) = %d, want %d", c.limit, c.def, c.most, got, c.want)
		}
	}
}

func TestTooLongACursorPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Encode of 2000 bytes returned")
		}
	}()
	Encode("Op", nil, strings.Repeat("x", 2000))
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode("Op", "bind", int64(7), "name"))
	f.Add("")
	f.Add("/////////////////////////////w==")
	f.Fuzz(func(t *testing.T, token string) {
		var k int64
		var s string
		ok, err := Decode("Op", "bind", &token, &k, &s)
		if ok != (err == nil) {
			t.Fatalf("Decode = %v, %v", ok, err)
		}
		if ok && Encode("Op", "bind", k, s) != token {
			t.Fatalf("%q is a second spelling", token)
		}
	})
}

// FuzzPageToken tries cursors that were never made, behind a checksum that is right: it has
// no secret. They are refused or read, and what is read makes a token that reads the same.
func FuzzPageToken(f *testing.F) {
	good, _ := base64.StdEncoding.DecodeString(Encode("Op", "bind", int64(-7), "name"))
	f.Add(good[1+macSize:])
	f.Add([]byte{})
	f.Add([]byte("i\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80s\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, cursor []byte) {
		sum := mac("Op", "bind", cursor)
		token := base64.StdEncoding.EncodeToString(slices.Concat([]byte{mark}, sum[:], cursor))
		var k int64
		var s string
		ok, err := Decode("Op", "bind", &token, &k, &s)
		if ok != (err == nil) {
			t.Fatalf("Decode = %v, %v", ok, err)
		}
		if _, is := errors.AsType[*types.InvalidRequestException](err); !ok && !is {
			t.Fatalf("Decode = %v, want an InvalidRequestException", err)
		}
		if !ok || len(token) > MaxToken {
			return
		}
		again := Encode("Op", "bind", k, s)
		var k2 int64
		var s2 string
		if ok, err := Decode("Op", "bind", &again, &k2, &s2); !ok || err != nil || k2 != k || s2 != s {
			t.Fatalf("%d, %q became %d, %q (%v)", k, s, k2, s2, err)
		}
		var small int8
		if ok, _ := Decode("Op", "bind", &token, &small, &s); ok && int64(small) != k {
			t.Fatalf("%d was cut to %d", k, small)
		}
	})
}

func TestCut(t *testing.T) {
	rows := []int{1, 2, 3, 4}
	for n, want := range []struct {
		list []int
		next string
	}{{nil, ""}, {rows[:1], ""}, {rows[:2], ""}, {rows[:3], ""}, {rows[:3], "after 3"}} {
		list, next := Cut(rows[:n], 3, func(last int) string { return fmt.Sprintf("after %d", last) })
		if !slices.Equal(list, want.list) || (next == nil) != (want.next == "") || next != nil && *next != want.next {
			t.Errorf("of %d rows: %v, %v; want %v, %q", n, list, next, want.list, want.next)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	bind := struct{ GameSession, Status string }{"arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1", "ACTIVE"}
	b.ReportAllocs()
	for b.Loop() {
		Encode("DescribePlayerSessions", bind, int64(1<<50))
	}
}
