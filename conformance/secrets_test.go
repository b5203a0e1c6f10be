package conformance

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/store/storetest"
)

// sealed is a server whose secrets are sealed, in a folder that it made itself.
func sealed(t *testing.T, url, sealFile, config string) *server {
	t.Helper()
	s := &server{data: filepath.Join(t.TempDir(), "data"), store: url, key: "AKIDROOTROOTROOTROOT", secret: "canary-of-the-root-key-" + rand.Text()}
	s.env = []string{"MATCHYARD_ROOT_ACCESS_KEY_ID=" + s.key, "MATCHYARD_ROOT_SECRET_ACCESS_KEY=" + s.secret, "MATCHYARD_SEAL_KEY_FILE=" + sealFile}
	s.args = []string{"serve", "--data", s.data, "--log-level", "debug", "--config", config}
	if url == "" {
		s.store = "sqlite:" + s.data + "/matchyard.db"
	}
	s.args = append(s.args, "--store", s.store)
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	return s
}

func sealKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// Secrets are in nothing that a server writes or shows: its folder, its database, a copy of
// it, its log, its metrics, its command line. Then the seal key is exchanged, and the old one
// forgotten.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	for _, database := range storetest.Databases() {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(receiver.Close)
			dir, url := t.TempDir(), ""
			if database == "postgres" {
				url = storetest.PostgresURL(t)
			}
			file, sealFile := filepath.Join(dir, "matchyard.yaml"), filepath.Join(dir, "seal")
			hook := "canary-of-the-hook-" + rand.Text()
			check(t, os.WriteFile(file, fmt.Appendf(nil, "sinks:\n  - {name: hook, kind: webhook, url: %q, secret: %q, allow-private: true}\n", receiver.URL, hook), 0o600))
			first := sealKey()
			check(t, os.WriteFile(sealFile, []byte(first+"\n"), 0o600))
			s := sealed(t, url, sealFile, file)

			// Everything that has a secret.
			w := newWorld(t, s)
			key := s.newKey(t, "key", "--policy", "full")
			turned := s.asPrinted(t, manageKeys(t, s, "rotate", key.key, "--overlap", "1h"))
			host := manage(t, s, "hosts", "token", "create", "rack")
			token := regexp.MustCompile(`hostkey-\S+`).FindString(host)
			made, err := sdk(turned).CreateBuild(t.Context(), &gamelift.CreateBuildInput{Name: new("b"), OperatingSystem: "AMAZON_LINUX_2023"})
			check(t, err)
			again, err := sdk(key).RequestUploadCredentials(t.Context(), &gamelift.RequestUploadCredentialsInput{BuildId: made.Build.BuildId})
			check(t, err)
			w.host(t, "ws")
			compute, err := w.api.GetComputeAuthToken(t.Context(), &gamelift.GetComputeAuthTokenInput{FleetId: &w.fleet, ComputeName: &w.computer})
			check(t, err)
			if _, e := goCall(t, s.as(key.key, "canary-of-a-wrong-secret", "canary-of-a-wrong-token"), "ListFleets", object{}); e == nil {
				t.Error("a wrong secret is let in")
			}
			canaries := map[string]string{
				"the root key's secret": s.secret, "a key's secret": key.secret, "a rotated key's secret": turned.secret, "a host's token": token, "a webhook's secret": hook,
				"a compute's token":  *compute.AuthToken,
				"an upload's secret": *made.UploadCredentials.SecretAccessKey, "an upload's session token": *made.UploadCredentials.SessionToken,
				"a second upload's secret": *again.UploadCredentials.SecretAccessKey, "a second upload's session token": *again.UploadCredentials.SessionToken,
				"a wrong secret": "canary-of-a-wrong-secret", "a wrong token": "canary-of-a-wrong-token", "the seal key": first,
			}
			for what, canary := range canaries {
				if len(canary) < 16 {
					t.Fatalf("%s is %q", what, canary)
				}
			}
			clean := func(where string, text []byte) {
				t.Helper()
				if len(text) == 0 {
					t.Errorf("%s is empty", where)
				}
				for what, canary := range canaries {
					if bytes.Contains(text, []byte(canary)) {
						t.Errorf("%s has %s", where, what)
					}
				}
			}
			places := func() {
				t.Helper()
				check(t, filepath.WalkDir(s.data, func(name string, d fs.DirEntry, err error) error {
					check(t, err)
					if info, err := d.Info(); err == nil { // SQLite and others take files away
						// The folder and all in it is the owner's alone, but for the certificate.
						if info.Mode().Perm()&0o077 != 0 && d.Name() != certificate {
							t.Errorf("%s has mode %v", name, info.Mode())
						}
						if text, err := os.ReadFile(name); err == nil && len(text) > 0 && info.Mode().IsRegular() {
							clean(name, text)
						}
					}
					return nil
				}))
				saved := filepath.Join(dir, "saved")
				manage(t, s, "save", saved)
				text, err := os.ReadFile(saved)
				check(t, err)
				clean("the save file", text)
				if info, err := os.Stat(saved); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the save file: %v, %v", info.Mode(), err)
				}
				if database == "postgres" {
					clean("pg_dump", pgDump(t, s.store))
				}
			}
			places()
			clean("the log", []byte(s.log.String()))
			for _, path := range []string{"/metrics", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/api/operations", "/api/audit", "/events", "/version"} {
				clean(path, []byte(get(t, s.admin+path)))
			}
			if text, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/cmdline"); err == nil {
				clean("ps", text)
			}
			clean("keys list", []byte(manageKeys(t, s, "list")))
			clean("hosts token list", []byte(manage(t, s, "hosts", "token", "list")))

			// A second seal key comes before the first, all is sealed anew, and the first goes.
			second := sealKey()
			check(t, os.WriteFile(sealFile, []byte(second+"\n"+first+"\n"), 0o600))
			s.stop(t)
			s.restart(t)
			if got := manageKeys(t, s, "reseal"); !regexp.MustCompile(`^4 secrets sealed anew; entries of the audit log chained anew: [1-9]\d*, and 0 that had no seal\n$`).MatchString(got) {
				t.Errorf("keys reseal: %q", got)
			}
			check(t, os.WriteFile(sealFile, []byte(second+"\n"), 0o600))
			s.stop(t)
			s.restart(t)
			canaries["the second seal key"] = second
			for _, as := range []*server{s, key, turned} {
				_, err := sdk(as).ListFleets(t.Context(), &gamelift.ListFleetsInput{})
				check(t, err)
			}
			if got := manage(t, s, "audit", "verify"); !strings.Contains(got, "as they were written") {
				t.Errorf("audit verify: %q", got)
			}
			s.stop(t)
			places()
		})
	}
}

// pgDump is what Debian's pg_dump says of a database, or the test goes on without.
func pgDump(t *testing.T, url string) []byte {
	t.Helper()
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if program, err := exec.LookPath("pg_dump"); err == nil {
		programs = append(programs, program)
	}
	if len(programs) == 0 {
		missing(t, "pg_dump", errMissing)
	}
	out, err := exec.CommandContext(t.Context(), programs[len(programs)-1], "--dbname", url).Output()
	check(t, err)
	return out
}
