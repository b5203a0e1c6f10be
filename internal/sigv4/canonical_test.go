package sigv4

import (
	"net/http"
	"net/url"
	"testing"
)

// TestPathRules restates what AWS's published signing test suite says of paths: of a path as
// sent, what it is when a signer normalizes it, and what stands in the canonical request.
func TestPathRules(t *testing.T) {
	for _, test := range []struct{ sent, normal, canonical string }{
		{"/", "/", "/"},
		{"//", "/", "/"},
		{"/./", "/", "/"},
		{"/example/..", "/", "/"},
		{"/example1/example2/../..", "/", "/"},
		{"/../..", "/", "/"},
		{"/./example", "/example", "/example"},
		{"//example//", "/example/", "/example/"},
		{"/a/./b/../c/", "/a/c/", "/a/c/"},
		{"/a/.b/..c", "/a/.b/..c", "/a/.b/..c"},
		{"/ሴ", "/ሴ", "/%E1%88%B4"},
		{"/-._~0aZ", "/-._~0aZ", "/-._~0aZ"},
		{"/example%20space/", "/example%20space/", "/example%2520space/"}, // twice, but for s3
		{"/a%2Fb", "/a%2Fb", "/a%252Fb"},
		{"/a+b=c:d", "/a+b=c:d", "/a%2Bb%3Dc%3Ad"},
	} {
		got, differs := normal(test.sent)
		if got != test.normal || differs != (test.sent != test.normal) {
			t.Errorf("%s: normal %s, %v, want %s", test.sent, got, differs, test.normal)
		}
		if c := string(appendEncoded(nil, got, true)); c != test.canonical {
			t.Errorf("%s: canonical %s, want %s", test.sent, c, test.canonical)
		}
	}
}

func TestPathIsTheOneSent(t *testing.T) {
	for _, test := range []struct {
		uri, url, want string
	}{
		{"/a%2Fb?x=/c", "/a%2Fb?x=/c", "/a%2Fb"},
		{"http://host/a%2Fb?x", "http://host/a%2Fb?x", "/a%2Fb"}, // as to a proxy
		{"", "/a%20b", "/a%20b"},                                 // not read by a server
		{"", "http://host", "/"},
		{"/v1/x", "/x", "/v1/x"}, // a handler stripped a prefix
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := pathOf(&http.Request{URL: u, RequestURI: test.uri}); got != test.want {
			t.Errorf("%q %q: got %s, want %s", test.uri, test.url, got, test.want)
		}
	}
}

// TestQueryRules: sorted by encoded name, then value; encoded once, whatever was sent.
func TestQueryRules(t *testing.T) {
	for sent, want := range map[string]string{
		"":                                    "",
		"Param1=value1":                       "Param1=value1",
		"Param2=value2&Param1=value1":         "Param1=value1&Param2=value2",
		"Param1=b&Param1=a":                   "Param1=a&Param1=b",
		"Param-3=V&Param=V&%E1%88%B4=V":       "%E1%88%B4=V&Param=V&Param-3=V",
		"ሴ=bar":                               "%E1%88%B4=bar",
		"p":                                   "p=",
		"p=a+b&p=a%20c&p=/~":                  "p=%2F~&p=a%20b&p=a%20c",
		"&&p=1&":                              "p=1",
		"p=1=2":                               "p=1%3D2",
		"-._~0aZ=-._~0aZ":                     "-._~0aZ=-._~0aZ",
		"q=a;b":                               "q=a%3Bb",
		"AA=1&A=2&a=3":                        "A=2&AA=1&a=3",
		"a%2Fb=1&a%2fc=2":                     "a%2Fb=1&a%2Fc=2",
		"X-Amz-Meta=%C3%A9&X-Amz-Date=%C3%a9": "X-Amz-Date=%C3%A9&X-Amz-Meta=%C3%A9",
	} {
		if got, err := appendQuery(nil, sent); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", sent, got, err, want)
		}
	}
}

// TestHeaderRules: values trimmed, runs of spaces made one, several joined in order.
func TestHeaderRules(t *testing.T) {
	r := &http.Request{Host: " example.com:8080", Header: http.Header{
		"My-Header1": {" value2 ", "value2", "value1"},
		"My-Header2": {`  "a   b   c"  `},
		"My-Header3": {"\tVALUE\t"},
		"My-Header4": {""},
	}}
	const want = "host:example.com:8080\nmy-header1:value2,value2,value1\nmy-header2:\"a b c\"\nmy-header3:VALUE\nmy-header4:\n"
	got, err := appendHeaders(nil, r, "host;my-header1;my-header2;my-header3;my-header4")
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestNamesAreAsNetHTTPSpellsThem: a wrong spelling would lose a header.
func TestNamesAreAsNetHTTPSpellsThem(t *testing.T) {
	for name, spelled := range names {
		if want := http.CanonicalHeaderKey(name); spelled != want {
			t.Errorf("%s: %s, want %s", name, spelled, want)
		}
	}
}

// TestKeysAreBounded: the oldest need not go, but some do.
func TestKeysAreBounded(t *testing.T) {
	var k keys
	for i := range maxKeys + 100 {
		c := credential{keyID: string(rune(i)), date: "20261122"}
		k.put("secret", c, derive("secret", c))
		if _, kept := k.get("secret", c); !kept {
			t.Fatal("what was just put is not kept")
		}
		if _, kept := k.get("other", c); kept {
			t.Fatal("kept for another secret")
		}
	}
	if len(k.kept) != maxKeys {
		t.Errorf("%d kept, want %d", len(k.kept), maxKeys)
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-west-2/gamelift/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=762dd0d6")
	f.Add("AWS4-HMAC-SHA256 Signature=0,SignedHeaders=a,Credential=a/b/c/20261122/r/s/aws4_request")
	f.Add("AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=;;, Signature==")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAuthorization(text)
		if len(a.keyID) > maxKeyID {
			t.Fatalf("a key id of %d characters", len(a.keyID))
		}
		if err != nil {
			if _, ok := err.(*Error); !ok { //nolint:errorlint // it must be one itself
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		// What was understood is all there was: written again, it is understood the same.
		again, err := parseAuthorization(algorithm + " Credential=" + a.keyID + "/" + a.date + "/" + a.region + "/" + a.service + "/" + terminator +
			",Signature=" + a.signature + ",SignedHeaders=" + a.signedHeaders)
		if err != nil || again != a {
			t.Fatalf("%q: %+v, again %+v, %v", text, a, again, err)
		}
		if a.ordered() == nil {
			for name := range headerList(a.signedHeaders) {
				if !a.has(name) || !a.hasFold(name) {
					t.Fatalf("%q is and is not in %q", name, a.signedHeaders)
				}
			}
		}
	})
}
