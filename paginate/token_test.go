package paginate_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/matchyard/matchyard/paginate"
)

// show makes a token comparable.
func show(t paginate.Token) [3]any {
	next := any(nil)
	if t.Next != nil {
		next = *t.Next
	}
	return [3]any{next, t.Skip, t.Cut}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestTokensOfBotocoreComeBackByteForByte(t *testing.T) {
	text, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Decoded struct {
			NextToken *string
			Skip      *int `json:"boto_truncate_amount"`
		}
		Token string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		want := paginate.Token{Next: v.Decoded.NextToken}
		if v.Decoded.Skip != nil {
			want.Skip, want.Cut = *v.Decoded.Skip, *v.Decoded.Skip == 0
		}
		got, err := paginate.Parse(v.Token)
		if err != nil || show(got) != show(want) {
			t.Errorf("Parse(%s) = %v, %v, want %v", v.Token, show(got), err, show(want))
		}
		if got := want.String(); got != v.Token {
			t.Errorf("%v.String() = %s, want %s", show(want), got, v.Token)
		}
	}
}

func TestParseForms(t *testing.T) {
	for _, c := range []struct {
		name, in string
		next     any
		skip     int
	}{
		{"raw", "gls1abcdef", "gls1abcdef", 0},
		{"raw base64 of no UTF-8", "/w==", "/w==", 0},
		{"raw that is base64 of a number", b64("123"), b64("123"), 0},
		{"raw that is base64 of a list", b64(`["a"]`), b64(`["a"]`), 0},
		{"raw with one underscore", "a_b", "a_b", 0},
		{"no token", "None", nil, 0},
		{"old", "abc___7", "abc", 7},
		{"old, first page", "None___2", nil, 2},
		{"old, Python's spelling of a number", "abc___ +1_0 ", "abc", 10},
		{"underscores without a number", "abc___def", "abc___def", 0},
		{"boundary", b64(`{"NextToken": "tok-6"}`), "tok-6", 0},
		{"inside a page", b64(`{"NextToken": "tok-3", "boto_truncate_amount": 2}`), "tok-3", 2},
		{"other key order and spacing", b64(` {"boto_truncate_amount":2,"NextToken":"tok-3"} `), "tok-3", 2},
		{"last of two equal keys", b64(`{"NextToken":"a","NextToken":"b"}`), "b", 0},
		{"no key", b64(`{}`), nil, 0},
		{"the word None", b64(`{"NextToken": "None"}`), nil, 0},
		{"no binary values", b64(`{"NextToken": "a", "boto_encoded_keys": []}`), "a", 0},
		{"line breaks in the base64", "eyJO\nZXh0VG9rZW4iOiAidG9rLTYifQ==\n", "tok-6", 0},
	} {
		got, err := paginate.Parse(c.in)
		if err != nil || show(got) != [3]any{c.next, c.skip, false} {
			t.Errorf("%s: Parse(%q) = %v, %v", c.name, c.in, show(got), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"",
		"___3",
		"a___b___3",
		"abc___-1",
		b64(`{"NextToken": ""}`),
		b64(`{"NextToken": 5}`),
		b64(`{"NextToken": ["a"]}`),
		b64(`{"Nexttoken": "a"}`),
		b64(`{"NextToken": "a", "FleetId": "fleet-1"}`),
		b64(`{"NextToken": "a", "boto_truncate_amount": -1}`),
		b64(`{"NextToken": "a", "boto_truncate_amount": "2"}`),
		b64(`{"NextToken": "a", "boto_truncate_amount": 2.0}`),
		b64(`{"NextToken": "a", "boto_truncate_amount": null}`),
		b64(`{"NextToken": "a", "boto_truncate_amount": 99999999999999999999}`),
		b64(`{"NextToken": "YQ==", "boto_encoded_keys": [["NextToken"]]}`),
	} {
		if got, err := paginate.Parse(in); !errors.Is(err, paginate.ErrBadToken) {
			t.Errorf("Parse(%q) = %v, %v, want ErrBadToken", in, show(got), err)
		}
	}
}

func TestTheZeroTokenIsTheBeginning(t *testing.T) {
	got, err := paginate.Parse(paginate.Token{}.String())
	if err != nil || got != (paginate.Token{}) {
		t.Errorf("got %v, %v", show(got), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"eyJOZXh0VG9rZW4iOiAidG9rLTMiLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiAyfQ==",
		"eyJOZXh0VG9rZW4iOiBudWxsfQ", "abc___2", "None", "=QQ==", "e30=", "\xff", "a___ 1_0",
		b64("{\"NextToken\": \"a\\\"\\u2603\\ud83d\\ude00\\ud800\x7f\"}"),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := paginate.Parse(s)
		if err != nil {
			if !errors.Is(err, paginate.ErrBadToken) {
				t.Fatalf("Parse(%q): %v is not ErrBadToken", s, err)
			}
			return
		}
		if got.Skip < 0 || got.Next != nil && *got.Next == "" {
			t.Fatalf("Parse(%q) = %v", s, show(got))
		}
		written := got.String()
		again, err := paginate.Parse(written)
		if err != nil {
			t.Fatalf("Parse(%q) of %v: %v", written, show(got), err)
		}
		if again.String() != written {
			t.Fatalf("%v became %v", show(got), show(again))
		}
	})
}
