package sigv4

import "strings"

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"

	maxKeyID = 128 // longer than any access key id, short enough for a log
	// maxSigned is the most headers that may be signed. Clients sign a dozen; each header of
	// a request is looked for among them before it is known whose the request is.
	maxSigned = 100
)

// credential is the Credential parameter: a key and what the signature is good for.
type credential struct {
	keyID, date, region, service string

	scope string // "date/region/service/aws4_request"
}

// parseCredential reads a credential from the right: the key may hold slashes.
func parseCredential(text string) (credential, error) {
	var cut [4]int // where the last four slashes are
	at := len(text)
	for i := range cut {
		at = strings.LastIndexByte(text[:at], '/')
		if at < 0 {
			return credential{}, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
		}
		cut[i] = at
	}
	c := credential{
		keyID:   text[:cut[3]],
		date:    text[cut[3]+1 : cut[2]],
		region:  text[cut[2]+1 : cut[1]],
		service: text[cut[1]+1 : cut[0]],
		scope:   text[cut[3]+1:],
	}
	switch {
	case c.keyID == "" || len(c.keyID) > maxKeyID:
		return credential{}, incomplete("Credential must begin with an access key id of 1 to %d characters.", maxKeyID)
	case text[cut[0]+1:] != terminator:
		return c, invalid("Credential should be scoped with a valid terminator: '%s'.", terminator)
	}
	return c, nil
}

// authorization is an Authorization header, taken apart.
type authorization struct {
	credential
	signedHeaders string // as sent: "a;b;c"
	signature     string
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
// The parameters may come in any order, each once, and no others.
func parseAuthorization(text string) (authorization, error) {
	var a authorization
	scheme, rest, _ := strings.Cut(text, " ")
	if scheme != algorithm {
		return a, incomplete("Unsupported Authorization scheme: want '%s'.", algorithm)
	}
	var cred string
	for more := true; more; {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var to *string
		switch name {
		case "Credential":
			to = &cred
		case "SignedHeaders":
			to = &a.signedHeaders
		case "Signature":
			to = &a.signature
		case "":
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			fallthrough
		default:
			return a, incomplete("Authorization header has a parameter that is none of 'Credential', 'SignedHeaders', 'Signature'.")
		}
		if *to != "" {
			return a, incomplete("Authorization header has parameter '%s' twice.", name)
		}
		*to = value
	}
	if err := a.missing(cred); err != nil {
		return a, err
	}
	var err error
	a.credential, err = parseCredential(cred)
	return a, err
}

// missing names the parameters an Authorization header lacks, in the service's words.
func (a *authorization) missing(cred string) error {
	var texts []string
	for _, p := range [...]struct{ name, value string }{{"Credential", cred}, {"Signature", a.signature}, {"SignedHeaders", a.signedHeaders}} {
		if p.value == "" {
			texts = append(texts, "Authorization header requires '"+p.name+"' parameter.")
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &Error{IncompleteSignature, strings.Join(texts, " ")}
}

// has tells whether a header, given in lower case, is in the list of signed ones.
func (a *authorization) has(header string) bool {
	for name := range headerList(a.signedHeaders) {
		if name == header {
			return true
		}
	}
	return false
}

// hasFold is has for a header in any case.
func (a *authorization) hasFold(header string) bool {
	for name := range headerList(a.signedHeaders) {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

// headerList yields the names in "a;b;c". strings.SplitSeq does the same and allocates.
func headerList(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for more := true; more; {
			var name string
			name, text, more = strings.Cut(text, ";")
			if !yield(name) {
				return
			}
		}
	}
}

// ordered refuses a list of signed headers that is not lower case, sorted and unique.
func (a *authorization) ordered() error {
	last, n := "", 0
	for name := range headerList(a.signedHeaders) {
		if n++; n > maxSigned {
			return incomplete("'SignedHeaders' must be at most %d names.", maxSigned)
		}
		if name <= last || strings.ContainsFunc(name, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
			return incomplete("'SignedHeaders' must be names in lower case, sorted, each once.")
		}
		last = name
	}
	return nil
}
