package main

import (
	"archive/zip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// logServer is an endpoint with one game session, which is over after some looks at it, and
// whose log is there some looks later.
func logServer(t *testing.T, active, late int64, files map[string]string) *httptest.Server {
	t.Helper()
	type object map[string]any
	var looks, asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(status int, v object) {
			text, err := cbor.Marshal(v)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
			w.Header().Set("Content-Type", "application/cbor")
			w.WriteHeader(status)
			_, _ = w.Write(text)
		}
		switch path.Base(r.URL.Path) {
		case "DescribeGameSessions":
			status := "ACTIVE"
			if looks.Add(1) > active {
				status = "TERMINATED"
			}
			answer(http.StatusOK, object{"GameSessions": []object{{"Status": status, "ComputeName": "box", "IpAddress": "10.0.0.1", "Port": 7777}}})
		case "GetGameSessionLogUrl":
			if asked.Add(1) <= late {
				answer(http.StatusBadRequest, object{"__type": "com.amazonaws.gamelift#NotFoundException", "Message": "no log \x1b[31myet"})
				return
			}
			answer(http.StatusOK, object{"PreSignedUrl": "http://" + r.Host + "/log.zip"})
		case "log.zip":
			z := zip.NewWriter(w)
			for _, name := range []string{"a.log", "b.log", "dir/"} {
				if text, ok := files[name]; ok {
					f, err := z.Create(name)
					if err != nil {
						t.Error(err)
					}
					_, _ = f.Write([]byte(text))
				}
			}
			_ = z.Close()
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestLogs(t *testing.T) {
	two := map[string]string{"a.log": "one\r\n\x1b[2Jtwo\n", "b.log": "three\n", "dir/": ""}
	one := map[string]string{"a.log": "\x1b[1mone"}
	for _, c := range []struct {
		name         string
		active, late int64
		files        map[string]string
		args         []string
		code         int
		out, errs    string
	}{
		{"one that is over", 0, 0, two, nil, 0, "==> a.log <==\none\n\\x1b[2Jtwo\n==> b.log <==\nthree\n", ""},
		{"as it is", 0, 0, one, []string{"--raw"}, 0, "\x1b[1mone", ""},
		{"one that runs", 1, 0, one, nil, 1, "", "the game session is ACTIVE; its log is on box (10.0.0.1:7777)"},
		{"one that runs, until its end", 1, 1, one, []string{"-f"}, 0, "\\x1b[1mone", ""},
		{"none", 0, 1, one, nil, 1, "", `no log \x1b[31myet`},
		{"not in time", 100, 0, one, []string{"-f", "--timeout", "100ms"}, 1, "", "deadline"},
		{"an empty one", 0, 0, nil, nil, 1, "", "no files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := logServer(t, c.active, c.late, c.files)
			code, out, errs := do(t, []string{"AWS_ENDPOINT_URL_GAMELIFT=" + s.URL}, append([]string{"logs", "arn:aws:gamelift:us-west-2::gamesession/fleet-x/y"}, c.args...)...)
			if code != c.code || out != c.out || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("exit code %d, %q, %q", code, out, errs)
			}
		})
	}
}

// TestLogsAsTheyAreWritten: what the server's stream says becomes lines, over a connection
// that breaks too.
func TestLogsAsTheyAreWritten(t *testing.T) {
	text := func(file, text string, next int) string {
		return fmt.Sprintf("event: text\ndata: {\"file\":%q,\"gen\":\"1\",\"text\":%q,\"next\":%d}\n\n", file, text, next)
	}
	mark := func(name string) string {
		return fmt.Sprintf("event: mark\ndata: {\"file\":\"a\",\"mark\":%q,\"words\":\"12 bytes left out\"}\n\n", name)
	}
	end := func(why string) string {
		return fmt.Sprintf("event: end\ndata: {\"why\":%q,\"words\":\"the end \\u001b[31mof it\"}\n\n", why)
	}
	files := "event: files\ndata: {\"files\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\",\"note\":\"is not there\"}]}\n\n"
	current := `event: mark` + "\ndata: {\"mark\":\"current\"}\n\n"
	for _, c := range []struct {
		name      string
		streams   []string // of one connection after the other
		args      []string
		code      int
		out, errs string
	}{
		{"what there is", []string{text("a", "one\ntwo", 7) + current + text("a", " more\n", 13)}, nil, 0, "one\ntwo\n", ""},
		{"two files", []string{files + text("a", "one\nbegin", 9) + text("b", "three\n", 6) + text("a", "ning\n", 14) + current}, nil, 0, "==> a <==\none\n==> b <==\nthree\n==> a <==\nbeginning\n", "c is not there"},
		{"to the end", []string{current + text("a", "one\n", 4) + mark("gap") + ":\n\n" + text("a", "two\n", 20) + end("over")}, []string{"-f"}, 0, "one\ntwo\n", "matchyard: the end \\x1b[31mof it"},
		{"a connection that breaks", []string{text("a", "one\n", 4), text("a", "two\n", 8) + end("restart"), text("a", "three\n", 14) + end("over")}, []string{"-f"}, 0, "one\ntwo\nthree\n", "the end"},
		{"not any more", []string{text("a", "one\n", 4) + end("denied")}, []string{"-f"}, 1, "one\n", "the end"},
		{"a long line", []string{text("a", strings.Repeat("x", 9000), 9000) + end("over")}, []string{"-f"}, 0, strings.Repeat("x", 9000), "the end"},
		{"refused", []string{`{"code":"AccessDeniedException","message":"not \u001b[2J you"}`}, nil, 1, "", `not \x1b[2J you`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			described := logServer(t, 1000, 0, nil)
			var asked atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/matchyard/log" {
					described.Config.Handler.ServeHTTP(w, r)
					return
				}
				n := int(asked.Add(1)) - 1
				if from := r.URL.Query().Get("from"); (n > 0) != (from != "") || n == 1 && from != `[{"file":"a","gen":"1","offset":4}]` {
					t.Errorf("connection %d goes on from %q", n, from)
				}
				if !strings.Contains(r.Header.Get("Authorization"), "/us-west-2/gamelift/aws4_request") {
					t.Errorf("signed as %q", r.Header.Get("Authorization"))
				}
				stream := c.streams[min(n, len(c.streams)-1)]
				if strings.HasPrefix(stream, "{") {
					w.WriteHeader(http.StatusBadRequest)
				} else {
					w.Header().Set("Content-Type", "text/event-stream")
				}
				_, _ = w.Write([]byte(stream))
			}))
			t.Cleanup(s.Close)
			code, out, errs := do(t, []string{"AWS_ENDPOINT_URL_GAMELIFT=" + s.URL}, append([]string{"logs", "arn:aws:gamelift:us-west-2::gamesession/fleet-x/y"}, c.args...)...)
			if code != c.code || out != c.out && out != c.out+"\n" || !strings.Contains(errs, c.errs) {
				t.Errorf("exit code %d, %q, %q", code, out, errs)
			}
		})
	}
}
