package gateway

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// inert makes text of bytes that come in pieces: lines and tabs stay, and what a terminal
// would act on, what cannot be seen and what is no UTF-8 is written as in a Go string.
type inert struct {
	rest []byte // the beginning of a rune, or a carriage return whose line may end
}

func (p *inert) take(b []byte) string {
	text := append(p.rest, b...)
	var out strings.Builder
	out.Grow(len(text))
	for len(text) > 0 && utf8.FullRune(text) {
		r, n := utf8.DecodeRune(text)
		if r == '\r' && len(text) == 1 {
			break
		}
		switch {
		case r == utf8.RuneError && n == 1:
			out.WriteString(`\x` + string("0123456789abcdef"[text[0]>>4]) + string("0123456789abcdef"[text[0]&15]))
		case r == '\r' && text[1] == '\n': // a line's end on Windows
		case r == '\n' || r == '\t' || r == ' ' || unicode.IsPrint(r):
			out.Write(text[:n])
		default:
			quoted := strconv.QuoteRuneToGraphic(r)
			if unicode.IsGraphic(r) { // a space of some other kind
				quoted = strconv.QuoteRuneToASCII(r)
			}
			out.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	p.rest = append([]byte(nil), text...)
	return out.String()
}
