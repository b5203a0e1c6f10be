package conformance

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// gameFolder makes a folder as game servers come in: a program, an install script, and data that
// does not compress, of about size bytes.
func gameFolder(t testing.TB, size int) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "data", "maps"), 0o700))
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, size)
	_, _ = random.Read(data)
	check(t, os.WriteFile(filepath.Join(dir, "data", "maps", "größe 1.bin"), data, 0o600))
	for _, name := range []string{"server", "install.sh"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho "+name+"\n"), 0o700))
	}
	return dir
}

// zipped is a folder as a zip file.
func zipped(t testing.TB, dir string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "build.zip")
	f, err := os.Create(name)
	check(t, err)
	w := zip.NewWriter(f)
	check(t, w.AddFS(os.DirFS(dir)))
	check(t, errors.Join(w.Close(), f.Close()))
	return name
}

// uploadBuild runs `aws gamelift upload-build`, unmodified, with the environment that
// docs/builds.md names, and returns the id that it prints.
func uploadBuild(t testing.TB, s *server, dir string, args ...string) (id string, took time.Duration, err error) {
	t.Helper()
	program, err := awsCLI()
	if err != nil {
		missing(t, "the AWS CLI", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args = append([]string{"gamelift", "upload-build", "--name", "arena", "--build-version", "1.0", "--build-root", dir}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = quietEnvironment("AWS_ENDPOINT_URL_GAMELIFT="+s.url, "AWS_ENDPOINT_URL_S3="+s.url, "AWS_MAX_ATTEMPTS=1")
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(begun)
	if err != nil {
		return "", took, fmt.Errorf("%w: %s", err, out)
	}
	found := regexp.MustCompile(`Build ID: (build-\S+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("upload-build printed no id: %s", out)
	}
	return string(found[1]), took, nil
}

// becomes waits for a build's status.
func becomes(t testing.TB, s *server, id string, want types.BuildStatus) types.Build {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := sdk(s).DescribeBuild(t.Context(), &gamelift.DescribeBuildInput{BuildId: &id})
		check(t, err)
		if out.Build.Status == want {
			return *out.Build
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the build is %s after 30 s, want %s", out.Build.Status, want)
		}
	}
}

// TestUploadBuild: `aws gamelift upload-build` as it comes, small, and large enough for
// parts.
func TestUploadBuild(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		for _, c := range []struct {
			size int
			args []string
			os   types.OperatingSystem
			sdk  string
		}{
			{100_000, nil, types.OperatingSystemAmazonLinux2023, "4.0.2"},
			{100_000_000, []string{"--operating-system", "WINDOWS_2022", "--server-sdk-version", "5.2.0", "--tags", "stage=test", "empty="}, types.OperatingSystemWindows2022, "5.2.0"},
		} {
			id, took, err := uploadBuild(t, s, gameFolder(t, c.size), c.args...)
			check(t, err)
			b := becomes(t, s, id, types.BuildStatusReady)
			if *b.Name != "arena" || *b.Version != "1.0" || b.OperatingSystem != c.os || *b.ServerSdkVersion != c.sdk || *b.SizeOnDisk < int64(c.size) {
				t.Errorf("%+v", b)
			}
			t.Logf("%d bytes in %s", *b.SizeOnDisk, took.Round(time.Millisecond))
			tags, err := sdk(s).ListTagsForResource(t.Context(), &gamelift.ListTagsForResourceInput{ResourceARN: b.BuildArn})
			if check(t, err); len(c.args) > 0 && len(tags.Tags) != 2 {
				t.Errorf("tags %v", tags.Tags)
			}
			_, err = sdk(s).RequestUploadCredentials(t.Context(), &gamelift.RequestUploadCredentialsInput{BuildId: &id})
			if e := asCallError(err); err == nil || e.Code != "InvalidRequestException" {
				t.Errorf("credentials for a build that has its file: %v", err)
			}
		}
		// A name that Windows does not take fails a build for Windows, and the uploader hears why.
		dir := gameFolder(t, 10)
		check(t, os.WriteFile(filepath.Join(dir, "aux.txt"), nil, 0o600))
		if _, _, err := uploadBuild(t, s, dir, "--operating-system", "WINDOWS_2022"); err == nil || !strings.Contains(err.Error(), "device of Windows") {
			t.Errorf("upload-build says %v", err)
		}
		failed, err := sdk(s).ListBuilds(t.Context(), &gamelift.ListBuildsInput{Status: types.BuildStatusFailed})
		if check(t, err); len(failed.Builds) != 1 {
			t.Errorf("%d builds are FAILED", len(failed.Builds))
		}
		if s.store == "" {
			// The data folder keeps them: a crash and a restart change nothing.
			s.kill()
			s.restart(t)
			ready, err := sdk(s).ListBuilds(t.Context(), &gamelift.ListBuildsInput{Status: types.BuildStatusReady})
			if check(t, err); len(ready.Builds) != 2 {
				t.Errorf("%d builds are READY after a crash", len(ready.Builds))
			}
		}
	})
}

// task is what an uploader in another language is told.
type task struct {
	Endpoint string   `json:"endpoint"`
	Keys     []string `json:"keys"`
	Bucket   string   `json:"bucket"`
	Key      string   `json:"key"`
	File     string   `json:"file"`
	How      string   `json:"how"`
	PartSize int      `json:"part_size"`
	CA       string   `json:"ca,omitempty"`
}

// said is what came of it.
type said struct {
	ETag, Code, Message string
	Status              int
}

// uploader runs a program with a task.
func uploader(t testing.TB, k task, program string, args ...string) (s said) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(show(k))
	cmd.Env = quietEnvironment()
	if k.CA != "" {
		cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+k.CA)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", program, k.How, err, out, stderr.String())
	}
	return s
}

// uploaders are S3 clients in other languages, and how each may send a file.
func uploaders(t *testing.T) map[string]struct {
	hows []string
	run  func(t testing.TB, k task) said
} {
	type one = struct {
		hows []string
		run  func(t testing.TB, k task) said
	}
	all := map[string]one{}
	if d, err := botoDriver(); err == nil {
		program := d.cmd.Path
		all["boto3"] = one{[]string{"put", "transfer"}, func(t testing.TB, k task) said { return uploader(t, k, program, "drivers/upload.py") }}
	} else {
		all["boto3"] = one{}
	}
	all["js"] = one{}
	if _, err := os.Stat("../.cache/node-s3/node_modules/@aws-sdk/client-s3"); err == nil {
		all["js"] = one{[]string{"put", "stream", "parts"}, func(t testing.TB, k task) said {
			return uploader(t, k, "node", "drivers/upload.mjs", "../.cache/node-s3")
		}}
	}
	return all
}

// TestUploadCredentials: the keys of RequestUploadCredentials, which boto3's and the
// JavaScript SDK's S3 clients use as they come, work for their object and nothing else,
// once, and until they expire.
func TestUploadCredentials(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		file := zipped(t, gameFolder(t, 11_000_000))
		create := func(t testing.TB, how string) (id string, k task) {
			out, err := sdk(s).CreateBuild(t.Context(), &gamelift.CreateBuildInput{Name: new("arena"), OperatingSystem: types.OperatingSystemAmazonLinux2023})
			check(t, err)
			again, err := sdk(s).RequestUploadCredentials(t.Context(), &gamelift.RequestUploadCredentialsInput{BuildId: out.Build.BuildId})
			check(t, err)
			c, at := again.UploadCredentials, again.StorageLocation
			return *out.Build.BuildId, task{
				Endpoint: s.url, Keys: []string{*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken}, Bucket: *at.Bucket, Key: *at.Key,
				File: file, How: how, PartSize: 5 << 20,
			}
		}
		for name, u := range uploaders(t) {
			t.Run(name, func(t *testing.T) {
				if u.run == nil {
					missing(t, name+"'s S3 client", errMissing)
				}
				for _, scheme := range []string{"http", "https"} {
					for _, how := range u.hows {
						id, k := create(t, how)
						if scheme == "https" {
							k.Endpoint = "https" + strings.TrimPrefix(k.Endpoint, "http")
							k.CA = filepath.Join(s.data, certificate)
						}
						if got := u.run(t, k); got.Code != "" || got.ETag == "" {
							t.Errorf("%s over %s: %+v", how, scheme, got)
							continue
						}
						info, err := os.Stat(file)
						check(t, err)
						if b := becomes(t, s, id, types.BuildStatusReady); *b.SizeOnDisk != info.Size() {
							t.Errorf("%s over %s: %d bytes of %d", how, scheme, *b.SizeOnDisk, info.Size())
						}
						k.How = "put"
						if got := u.run(t, k); got.Code != "AccessDenied" || got.Status != http.StatusForbidden {
							t.Errorf("a second put after %s over %s: %+v", how, scheme, got)
						}
					}
				}
				id, k := create(t, "put")
				other, theirs := create(t, "put")
				wrong := k
				wrong.Key = theirs.Key
				if got := u.run(t, wrong); got.Code != "AccessDenied" || !strings.Contains(got.Message, "nothing else") {
					t.Errorf("another build's key: %+v", got)
				}
				wrong = k
				wrong.Bucket = "another-bucket"
				if got := u.run(t, wrong); got.Code != "AccessDenied" {
					t.Errorf("another bucket: %+v", got)
				}
				wrong = k
				wrong.Keys = []string{k.Keys[0], k.Keys[1], theirs.Keys[2]}
				if got := u.run(t, wrong); got.Code != "InvalidAccessKeyId" {
					t.Errorf("another's session token: %+v", got)
				}
				wrong = k
				wrong.Keys = []string{s.key, s.secret, ""}
				if got := u.run(t, wrong); got.Code != "InvalidAccessKeyId" {
					t.Errorf("the caller's own key: %+v", got)
				}
				if name == "boto3" {
					k.How = "abort"
					if got := u.run(t, k); got.Code != "" {
						t.Errorf("abort: %+v", got)
					}
					k.How = "put"
				}
				s.advance(t, 3*time.Hour+time.Second)
				if got := u.run(t, k); got.Code != "ExpiredToken" && got.Code != "InvalidAccessKeyId" { // forgotten by the sweep
					t.Errorf("three hours later: %+v", got)
				}
				for _, id := range []string{id, other} {
					becomes(t, s, id, types.BuildStatusInitialized)
				}
				if got := u.run(t, func() task { _, k := create(t, "put"); k.File = os.Args[0]; return k }()); !strings.Contains(got.Message, "not a zip archive") {
					t.Errorf("no zip: %+v", got)
				}
			})
		}
	})
}

// TestBuildsWithEveryClient: what each client sends and gets of builds and scripts, in its
// protocol.
func TestBuildsWithEveryClient(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		archive, err := os.ReadFile(zipped(t, gameFolder(t, 100)))
		check(t, err)
		eachClient(t, func(t *testing.T, c *client) {
			b := c.must(t, s, "CreateBuild", object{"Name": "arena", "Version": "1", "OperatingSystem": "AMAZON_LINUX_2023", "ServerSdkVersion": "5.1.0"})
			build := b["Build"].(object)
			id := build["BuildId"].(string)
			at := b["StorageLocation"].(object)
			if build["Status"] != "INITIALIZED" || build["OperatingSystem"] != "AMAZON_LINUX_2023" || !strings.HasSuffix(at["Key"].(string), "/"+id) {
				t.Errorf("%v", b)
			}
			again := c.must(t, s, "RequestUploadCredentials", object{"BuildId": build["BuildArn"]})
			if keys := again["UploadCredentials"].(object); len(keys["SecretAccessKey"].(string)) != 40 || again["StorageLocation"].(object)["Bucket"] != at["Bucket"] {
				t.Errorf("%v", again)
			}
			updated := c.must(t, s, "UpdateBuild", object{"BuildId": id, "Version": "2"})["Build"].(object)
			if updated["Name"] != "arena" || updated["Version"] != "2" {
				t.Errorf("%v", updated)
			}
			shown := c.must(t, s, "DescribeBuild", object{"BuildId": id})["Build"].(object)
			if !c.same(shown, updated) {
				t.Errorf("described %v, updated %v", shown, updated)
			}
			list := c.must(t, s, "ListBuilds", object{"Status": "INITIALIZED", "Limit": int64(1)})
			if len(list["Builds"].([]any)) != 1 {
				t.Errorf("%v", list)
			}
			c.must(t, s, "DeleteBuild", object{"BuildId": id})
			if e := c.fails(t, s, "DescribeBuild", object{"BuildId": id}); e.Code != "NotFoundException" {
				t.Errorf("%+v", e)
			}
			if e := c.fails(t, s, "CreateBuild", object{"StorageLocation": object{"Bucket": "b", "Key": "k", "RoleArn": "arn:aws:iam::1:role/r"}}); e.Code != "InvalidRequestException" ||
				!strings.Contains(e.Message, "Provided build is not accessible.") {
				t.Errorf("%+v", e)
			}

			made := c.must(t, s, "CreateScript", object{"Name": "lobby", "ZipFile": object{"$bytes": base64.StdEncoding.EncodeToString(archive)}})["Script"].(object)
			sid := made["ScriptId"].(string)
			if c.knows == nil && made["NodeJsVersion"] != "10.x" || fmt.Sprint(made["SizeOnDisk"]) != fmt.Sprint(len(archive)) {
				t.Errorf("%v", made)
			}
			c.must(t, s, "UpdateScript", object{"ScriptId": sid, "Version": "2"})
			if got := c.must(t, s, "DescribeScript", object{"ScriptId": sid})["Script"].(object); got["Version"] != "2" || got["Name"] != "lobby" {
				t.Errorf("%v", got)
			}
			c.must(t, s, "DeleteScript", object{"ScriptId": sid})
			if list := c.must(t, s, "ListScripts", object{}); fmt.Sprint(withoutEmpty(list)) != "map[]" {
				t.Errorf("%v", list)
			}
		}, "boto3 json", "boto3 cbor", "js json", "js cbor", "go cbor")
	})
}

// TestAStorageLocationInAFolder: as Terraform makes builds, from a bucket that is a folder.
func TestAStorageLocationInAFolder(t *testing.T) {
	t.Parallel()
	buckets := t.TempDir()
	check(t, os.Mkdir(filepath.Join(buckets, "games"), 0o700))
	text, err := os.ReadFile(zipped(t, gameFolder(t, 1000)))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(buckets, "games", "arena.zip"), text, 0o600))
	s := dev(t, "sqlite", "--build-sources", buckets)
	out, err := sdk(s).CreateBuild(t.Context(), &gamelift.CreateBuildInput{StorageLocation: &types.S3Location{
		Bucket: new("games"), Key: new("arena.zip"), RoleArn: new("arn:aws:iam::123456789012:role/Builds"),
	}})
	check(t, err)
	if b := becomes(t, s, *out.Build.BuildId, types.BuildStatusReady); *b.SizeOnDisk != 0 {
		t.Errorf("%+v", b)
	}
}

// TestAnEphemeralServerLeavesNoFiles: the folder of an ephemeral server's builds goes with
// it.
func TestAnEphemeralServerLeavesNoFiles(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	s := &server{key: "AKIDCONFORMANCE", secret: "secret", args: []string{"dev", "--ephemeral", "--log-level", "warn"}, env: []string{"TMPDIR=" + temp}}
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	id, _, err := uploadBuild(t, s, gameFolder(t, 1000))
	check(t, err)
	becomes(t, s, id, types.BuildStatusReady)
	if left, err := os.ReadDir(temp); err != nil || len(left) == 0 {
		t.Errorf("no files while it runs: %v", err)
	}
	s.stop(t)
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestProductionTakesUploadCredentialsOnly: where callers must sign, uploads are signed with
// upload credentials, and those open nothing else.
func TestProductionTakesUploadCredentialsOnly(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := &server{
		data: data, key: "AKIDROOT", secret: "a secret of the root key", args: []string{"serve", "--store", "sqlite:" + filepath.Join(data, "m.db"), "--log-level", "warn"},
		env: []string{"MATCHYARD_ROOT_ACCESS_KEY_ID=AKIDROOT", "MATCHYARD_ROOT_SECRET_ACCESS_KEY=a secret of the root key"},
	}
	s.start(t, "127.0.0.1:0", "127.0.0.1:0")
	out, err := sdk(s).CreateBuild(t.Context(), &gamelift.CreateBuildInput{})
	check(t, err)
	c := out.UploadCredentials
	thief := &server{url: s.url, key: *c.AccessKeyId, secret: *c.SecretAccessKey, token: *c.SessionToken}
	_, err = sdk(thief).ListBuilds(t.Context(), &gamelift.ListBuildsInput{})
	if e := asCallError(err); err == nil || e.Code != "UnrecognizedClientException" {
		t.Errorf("the API takes upload credentials: %v", err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/matchyard/blob/builds/x?expires=9999999999&signature=00", http.NoBody)
	check(t, err)
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	defer func() { _ = answer.Body.Close() }()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a forged link: %s %s", answer.Status, text)
	}
}
