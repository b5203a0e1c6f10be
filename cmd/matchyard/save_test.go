package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

// TestSaveAndLoad carries a running server to another folder, where its key and its fleet
// work on.
func TestSaveAndLoad(t *testing.T) {
	dir := t.TempDir()
	first, second, file := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "all.gz")
	args := func(data string) []string {
		return []string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", "off"}
	}
	r := start(t, nil, args(first)...)
	key := regexp.MustCompile(`AWS_ACCESS_KEY_ID=(\S+)\nAWS_SECRET_ACCESS_KEY=(\S+)\n`).FindStringSubmatch(r.before)
	if key == nil {
		t.Fatalf("no key in %q", r.before)
	}
	c := client(r.find(`^ready (\S+)`), key[1], key[2])
	if _, err := c.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: new("custom-home")}); err != nil {
		t.Fatal(err)
	}

	code, running, errs := do(t, nil, "save", "--data", first, file)
	if code != 0 || !strings.HasPrefix(running, "saved ") {
		t.Fatalf("save while it runs: %d %s %s", code, running, errs)
	}
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", i, err)
	}
	if code, _, errs := do(t, nil, "load", "--data", first, file); code != 1 || !strings.Contains(errs, "in use") {
		t.Errorf("load into a running server: %d %s", code, errs)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}
	if code, _, errs := do(t, nil, "load", "--data", first, file); code != 1 || !strings.Contains(errs, "not empty") {
		t.Errorf("load into its own database: %d %s", code, errs)
	}

	code, loaded, errs := do(t, nil, "load", "--data", second, file)
	if code != 0 || strings.TrimPrefix(loaded, "loaded ") != strings.TrimPrefix(running, "saved ") {
		t.Fatalf("load: %d %s %s, want as %s", code, loaded, errs, running)
	}
	code, again, errs := do(t, nil, "save", "--data", second, "-")
	if sum := regexp.MustCompile(`sha256 (\S+)`).FindStringSubmatch(running); code != 0 || !strings.HasSuffix(again, `,"sha256":"`+sum[1]+"\"}\n") {
		t.Errorf("saved again: %d %s, not as %s", code, errs, running)
	}
	r = start(t, nil, args(second)...)
	if r.before != "" {
		t.Errorf("the loaded server made a key: %q", r.before)
	}
	list, err := client(r.find(`^ready (\S+)`), key[1], key[2]).ListLocations(t.Context(), &gamelift.ListLocationsInput{})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, l := range list.Locations {
		found = found || *l.LocationName == "custom-home"
	}
	if !found {
		t.Error("the location is gone")
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.log)
	}

	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"save", file}, 2, "store: "},
		{[]string{"save", "--data", filepath.Join(dir, "none"), filepath.Join(dir, "x")}, 1, "no such file"},
		{[]string{"load", "--data", filepath.Join(dir, "third"), filepath.Join(dir, "x")}, 1, "no such file"},
		{[]string{"load", "--data", filepath.Join(dir, "third"), os.Args[0]}, 1, "no dump"},
	} {
		if code, _, errs := do(t, nil, c.args...); code != c.code || !strings.Contains(errs, c.stderr) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSavingWhatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code, _, errs := do(t, nil, "save", "--data", dir, dir+"/all.gz")
	if code != 1 || !strings.Contains(errs, "there is no database") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
