package term

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func TestTable(t *testing.T) {
	table := New("NAME", "PLAYERS#", "STATE")
	table.Add("arena", 12, "ACTIVE")
	table.Add("\x1b[2Jgone\n\u202e", 1234, "")
	table.Add("試合", 0, "ok")
	table.Add(" padded ")
	table.Add(`"quoted"`, 1, "e\u0301")
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `NAME                   PLAYERS  STATE
arena                       12  ACTIVE
"\x1b[2Jgone\n\u202e"     1234  -
試合                         0  ok
" padded "                   -  -
"\"quoted\""                 1  e` + "\u0301\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("arena")
	f.Add("\x1b]0;title\x07")
	f.Add("\u009b31m\u202e\u2066\ufeff\xff")
	f.Fuzz(func(t *testing.T, s string) {
		q := Quote(s)
		for _, r := range q {
			if r != ' ' && (!unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar && !strings.ContainsRune(s, r)) {
				t.Errorf("%q shows %U", s, r)
			}
		}
		if strings.HasPrefix(q, `"`) {
			if back, err := strconv.Unquote(q); err != nil || back != s {
				t.Errorf("%q is shown as %s, which is %q", s, q, back)
			}
		} else if q != s {
			t.Errorf("%q is shown as %q", s, q)
		}
	})
}

func TestPlain(t *testing.T) {
	const text = "one\r\n\ttwo \x1b[31mred\x1b[0m \u202e試合\xff\x00é\u009b1m"
	const want = "one\n\ttwo \\x1b[31mred\\x1b[0m \\u202e試合\\xff\\x00é\\u009b1m"
	for size := 1; size <= len(text); size++ {
		var b strings.Builder
		p := Plain(&b)
		for i := 0; i < len(text); i += size {
			if n, err := p.Write([]byte(text[i:min(i+size, len(text))])); err != nil || n != min(size, len(text)-i) {
				t.Fatal(n, err)
			}
		}
		if got := b.String(); got != want {
			t.Fatalf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	want := map[string]string{"a\u202e\U000e0001": "\x1b[2J \u009b \U0001f3ae\n<é>"}
	var b strings.Builder
	if err := JSON(&b, want); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(b.String(), escaped) || !strings.Contains(b.String(), "\U0001f3ae") {
		t.Errorf("%q", b.String())
	}
	got := map[string]string{}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil || !maps.Equal(got, want) {
		t.Errorf("%q: %v, %q", b.String(), err, got)
	}
}
