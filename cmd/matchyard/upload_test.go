package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

func TestUploadBuild(t *testing.T) {
	r := start(t, nil, "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ephemeral")
	url := r.find(`^ready (\S+)`)
	dir := t.TempDir()
	for name, text := range map[string]string{"server": "#!/bin/sh\n", "map": strings.Repeat("m", 1000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := do(t, nil, "upload-build", "--root", dir, "--name", "arena", "--build-version", "1.2",
		"--operating-system", "WINDOWS_2022", "--server-sdk-version", "5.4.0", "--tags", "stage=test", "--endpoint", url)
	said := regexp.MustCompile(`^(build-\S+): 2 files, 1010 bytes, \d+ packed\n(build-\S+): READY\n$`).FindStringSubmatch(out)
	if code != 0 || said == nil || said[1] != said[2] {
		t.Fatalf("exit code %d: %q %s", code, out, errs)
	}
	c := client(url, "any", "thing")
	got, err := c.DescribeBuild(t.Context(), &gamelift.DescribeBuildInput{BuildId: &said[1]})
	if err != nil {
		t.Fatal(err)
	}
	if b := got.Build; *b.Name != "arena" || *b.Version != "1.2" || b.OperatingSystem != types.OperatingSystemWindows2022 || *b.ServerSdkVersion != "5.4.0" || *b.SizeOnDisk == 0 {
		t.Errorf("%+v", b)
	}
	tags, err := c.ListTagsForResource(t.Context(), &gamelift.ListTagsForResourceInput{ResourceARN: got.Build.BuildArn})
	if err != nil || len(tags.Tags) != 1 {
		t.Errorf("%v, %v", tags, err)
	}

	// What the server refuses is said here.
	if err := os.WriteFile(filepath.Join(dir, "nul.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = do(t, nil, "upload-build", "--root", dir, "--name", "arena", "--operating-system", "WINDOWS_2022", "--endpoint", url)
	if code != 1 || !strings.Contains(errs, "device of Windows") {
		t.Errorf("exit code %d: %q %s", code, out, errs)
	}
	code, _, errs = do(t, nil, "upload-build", "--root", t.TempDir(), "--name", "arena", "--endpoint", url)
	if code != 1 || !strings.Contains(errs, "no files") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	code, _, errs = do(t, nil, "upload-build", "--name", "arena")
	if code != 2 || !strings.Contains(errs, "--root") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
