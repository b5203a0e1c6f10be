package term

import (
	"io"
	"strconv"
	"unicode/utf8"
)

// Plain passes text on to w as a terminal can show it without acting on it: lines and tabs
// stay, and what is hidden is written as in a Go string. The text may come in any pieces; what
// the last one leaves unfinished is not written.
func Plain(w io.Writer) io.Writer { return &plain{w: w} }

type plain struct {
	w    io.Writer
	rest []byte // the beginning of a rune
	out  []byte
}

func (p *plain) Write(b []byte) (int, error) {
	text := append(p.rest, b...)
	p.out = p.out[:0]
	for len(text) > 0 && utf8.FullRune(text) {
		r, n := utf8.DecodeRune(text)
		if r == '\r' && len(text) == 1 {
			break // perhaps the beginning of a line's end
		}
		switch {
		case r == utf8.RuneError && n == 1:
			p.out = append(p.out, `\x`+string("0123456789abcdef"[text[0]>>4])+string("0123456789abcdef"[text[0]&15])...)
		case r == '\r' && len(text) > 1 && text[1] == '\n': // a line's end on Windows
		case r == '\n' || r == '\t' || !hidden(r):
			p.out = append(p.out, text[:n]...)
		default:
			quoted := strconv.QuoteRuneToGraphic(r)
			p.out = append(p.out, quoted[1:len(quoted)-1]...)
		}
		text = text[n:]
	}
	p.rest = append(p.rest[:0:0], text...)
	if _, err := p.w.Write(p.out); err != nil {
		return 0, err
	}
	return len(b), nil
}
