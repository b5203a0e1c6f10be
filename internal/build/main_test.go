package build_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/archive"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

var home = arn.Home{Region: "us-west-2", Account: "123456789012"}

const patience = time.Minute

// room is the build room with the tag room under it, on an empty database and an empty
// folder, and another folder as the place of callers' buckets.
type room struct {
	*build.Service

	t       *testing.T
	clock   *storetest.Clock
	blobs   string
	buckets string
}

// each runs a test on both databases.
func each(t *testing.T, f func(t *testing.T, r *room)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &room{t: t, clock: clock, blobs: filepath.Join(t.TempDir(), "blobs"), buckets: t.TempDir()}
		blobs, err := blob.OpenDir(r.blobs)
		expect.OK(t, err)
		t.Cleanup(func() { _ = blobs.Close() })
		sources, err := blob.OpenBuckets(r.buckets)
		expect.OK(t, err)
		t.Cleanup(func() { _ = sources.Close() })
		r.Service = &build.Service{DB: db, Home: home, Blobs: blobs, Sources: sources}
		r.Tags = &tag.Service{DB: db, Exists: r.ExistsTx}
		f(t, r)
	})
}

// create makes a build that waits for its file.
func (r *room) create() (id string, p build.Permit) {
	r.t.Helper()
	out, err := r.CreateBuild(r.t.Context(), &gamelift.CreateBuildInput{Name: new("arena"), OperatingSystem: types.OperatingSystemAmazonLinux2023})
	expect.OK(r.t, err)
	return *out.Build.BuildId, r.permit(out.UploadCredentials)
}

func (r *room) permit(c *types.AwsCredentials) build.Permit {
	r.t.Helper()
	p, err := r.Permit(r.t.Context(), *c.AccessKeyId, *c.SessionToken)
	expect.OK(r.t, err)
	if p.Secret != *c.SecretAccessKey {
		r.t.Fatalf("secret %q, want %q", p.Secret, *c.SecretAccessKey)
	}
	return p
}

// store writes a file to a slot.
func (r *room) store(slot build.Slot, text []byte) build.Stored {
	r.t.Helper()
	expect.OK(r.t, r.Blobs.Put(r.t.Context(), slot.Blob, bytes.NewReader(text), int64(len(text))))
	return build.Stored{Slot: slot, Size: int64(len(text)), ETag: fmt.Sprintf("etag-%d", len(text))}
}

// upload puts a build's file.
func (r *room) upload(p build.Permit, text []byte) error {
	r.t.Helper()
	slot, err := r.Slot(r.t.Context(), p, int64(len(text)))
	if err != nil {
		return err
	}
	return r.Accept(r.t.Context(), p, r.store(slot, text), patience)
}

// part puts a part of an upload.
func (r *room) part(p build.Permit, u build.Upload, number int, text string) {
	r.t.Helper()
	_, slot, err := r.PartSlot(r.t.Context(), p, u.ID, int64(len(text)))
	expect.OK(r.t, err)
	expect.OK(r.t, r.AcceptPart(r.t.Context(), p, u.ID, build.Part{Stored: r.store(slot, []byte(text)), Number: number}))
}

// ready makes a build whose file is there.
func (r *room) ready() string {
	r.t.Helper()
	id, p := r.create()
	expect.OK(r.t, r.upload(p, archiveOf("server")))
	r.status(id, types.BuildStatusReady)
	return id
}

func (r *room) describe(id string) types.Build {
	r.t.Helper()
	out, err := r.DescribeBuild(r.t.Context(), &gamelift.DescribeBuildInput{BuildId: &id})
	expect.OK(r.t, err)
	return *out.Build
}

func (r *room) status(id string, want types.BuildStatus) {
	r.t.Helper()
	if got := r.describe(id).Status; got != want {
		r.t.Errorf("the build is %s (%s), want %s", got, r.get(id).Reason, want)
	}
}

func (r *room) get(id string) (b build.Build) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		b, err = r.GetTx(tx, id)
		return err
	}))
	return b
}

// write runs f in a transaction that must succeed.
func (r *room) write(f func(tx *store.Tx) error) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Write(r.t.Context(), f))
}

// work does all that waits.
func (r *room) work() {
	r.t.Helper()
	for more := true; more; {
		var err error
		more, err = r.Work(r.t.Context())
		expect.OK(r.t, err)
	}
}

// files are the keys in the blob store, after a sweep.
func (r *room) files() []string {
	r.t.Helper()
	expect.OK(r.t, r.Tick(r.t.Context(), r.clock.Now()))
	var all []string
	expect.OK(r.t, filepath.WalkDir(r.blobs, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err = filepath.Rel(r.blobs, name)
			all = append(all, name)
		}
		return err
	}))
	return all
}

// used is how much of a quota is taken.
func (r *room) used(name string) (n int64) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT used FROM build_quota WHERE name = $1`, name).Scan(&n)
	}))
	return n
}

// source puts a file into a bucket of the caller's own.
func (r *room) source(bucket, key string, text []byte) *types.S3Location {
	r.t.Helper()
	name := filepath.Join(r.buckets, bucket, key)
	expect.OK(r.t, os.MkdirAll(filepath.Dir(name), 0o700))
	expect.OK(r.t, os.WriteFile(name, text, 0o600))
	return &types.S3Location{Bucket: &bucket, Key: &key, RoleArn: new("arn:aws:iam::123456789012:role/Builds")}
}

// archiveOf is a zip file of files with these names.
func archiveOf(names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(f, "content of "+name)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func useless(t *testing.T, err error, word string) {
	t.Helper()
	if e, ok := errors.AsType[*archive.Refused](err); !ok || !strings.Contains(e.Reason, word) {
		t.Errorf("%v, want a file that is refused for %q", err, word)
	}
}

const (
	invalid = "InvalidRequestException"
	missing = "NotFoundException"
	tagging = "TaggingFailedException"

	unknownBuild  = "build-01234567-89ab-7def-8123-456789abcdef"
	unknownScript = "script-01234567-89ab-7def-8123-456789abcdef"
)

// walk reads a listing to its end, by pages of limit.
func walk[T any](t *testing.T, limit int, next func(token *string) ([]T, *string, error)) []T {
	t.Helper()
	var all []T
	var token *string
	for {
		rows, following, err := next(token)
		expect.OK(t, err)
		if rows == nil || len(rows) > limit || following != nil && len(rows) == 0 {
			t.Fatalf("page of %d rows (nil: %v), limit %d", len(rows), rows == nil, limit)
		}
		all = append(all, rows...)
		if following == nil {
			return all
		}
		token = following
	}
}

func foreignToken() *string { return new(page.Encode("SomethingElse", nil, store.Key(1))) }
