package depot_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	gltypes "github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/depot"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
	"github.com/matchyard/matchyard/internal/tag"
)

// yard is a depot over a build room with a folder of blobs.
type yard struct {
	*depot.Server

	t     *testing.T
	clock *storetest.Clock
	dir   string
	http  *httptest.Server
	https *httptest.Server
}

// each runs a test on both databases.
func each(t *testing.T, f func(t *testing.T, y *yard)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		y := &yard{t: t, clock: clock, dir: filepath.Join(t.TempDir(), "blobs")}
		blobs, err := blob.OpenDir(y.dir)
		expect.OK(t, err)
		t.Cleanup(func() { _ = blobs.Close() })
		builds := &build.Service{DB: db, Home: arn.Home{Region: "us-west-2", Account: "123456789012"}, Blobs: blobs}
		builds.Tags = &tag.Service{DB: db, Exists: builds.ExistsTx}
		y.Server = &depot.Server{
			Builds: builds, Blobs: blobs, Links: &depot.Links{Secret: []byte("a secret")},
			Logger: slog.New(slog.DiscardHandler), Slow: time.Second, SmallestPart: 1000,
		}
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !y.Claims(r) {
				http.Error(w, "not the depot's", http.StatusTeapot)
				return
			}
			y.ServeHTTP(w, r)
		})
		y.http, y.https = httptest.NewServer(handler), httptest.NewTLSServer(handler)
		t.Cleanup(y.http.Close)
		t.Cleanup(y.https.Close)
		f(t, y)
	})
}

// slip is what an uploader has.
type slip struct {
	id, bucket, key string
	creds           aws.Credentials
}

func (y *yard) create() slip {
	y.t.Helper()
	out, err := y.Builds.CreateBuild(y.t.Context(), &gamelift.CreateBuildInput{Name: new("arena")})
	expect.OK(y.t, err)
	c := out.UploadCredentials
	return slip{
		id: *out.Build.BuildId, bucket: *out.StorageLocation.Bucket, key: *out.StorageLocation.Key,
		creds: aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken},
	}
}

// client is an S3 client with an uploader's credentials. Over TLS it sends checksums in
// trailers.
func (y *yard) client(s slip, secure bool, change ...func(*s3.Options)) *s3.Client {
	server := y.http
	if secure {
		server = y.https
	}
	o := s3.Options{
		BaseEndpoint: &server.URL, Region: "eu-west-1", UsePathStyle: true, HTTPClient: server.Client(), RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: s.creds},
	}
	for _, c := range change {
		c(&o)
	}
	return s3.New(o)
}

func (y *yard) status(id string, want gltypes.BuildStatus) {
	y.t.Helper()
	out, err := y.Builds.DescribeBuild(y.t.Context(), &gamelift.DescribeBuildInput{BuildId: &id})
	expect.OK(y.t, err)
	if out.Build.Status != want {
		y.t.Errorf("the build is %s, want %s", out.Build.Status, want)
	}
}

// files counts what is in the store after a sweep.
func (y *yard) files() (n int) {
	y.t.Helper()
	expect.OK(y.t, y.Builds.Tick(y.t.Context(), y.clock.Now()))
	expect.OK(y.t, filepath.WalkDir(y.dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// archiveOf is a zip file of about size bytes that do not compress.
func archiveOf(size int) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "server", Method: zip.Store})
	if err != nil {
		panic(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	_, _ = f.Write(text)
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// refused checks that err is the S3 error with that code, and that its message has a word.
func refused(t *testing.T, what string, err error, code, word string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), word) {
		t.Errorf("%s: %v, want %s with %q", what, err, code, word)
	}
}

func TestPutObject(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(300_000)
		for _, secure := range []bool{false, true} {
			for _, algorithm := range append([]types.ChecksumAlgorithm{""}, types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c,
				types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256) {
				name := fmt.Sprintf("TLS %v, checksum %q", secure, algorithm)
				s := y.create()
				c := y.client(s, secure)
				put, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text), ChecksumAlgorithm: algorithm})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				y.status(s.id, gltypes.BuildStatusReady)
				if algorithm == types.ChecksumAlgorithmCrc32 && *put.ChecksumCRC32 != crcText(text) {
					t.Errorf("%s: checksum %v", name, *put.ChecksumCRC32)
				}
				head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &s.bucket, Key: &s.key})
				if err != nil || *head.ContentLength != int64(len(text)) || *head.ETag != *put.ETag || head.LastModified == nil {
					t.Errorf("%s: %+v, %v", name, head, err)
				}
				got, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key})
				expect.OK(t, err)
				if back, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(back, text) {
					t.Errorf("%s: %d bytes back, %v", name, len(back), err)
				}
				part, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key, Range: new("bytes=100-199")})
				expect.OK(t, err)
				if back, err := io.ReadAll(part.Body); err != nil || !bytes.Equal(back, text[100:200]) || *part.ContentRange != fmt.Sprintf("bytes 100-199/%d", len(text)) {
					t.Errorf("%s: range of %d bytes, %v", name, len(back), err)
				}
				_, err = c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key, Range: new("bytes=999999999-")})
				refused(t, "a range behind the end", err, "InvalidRange", "range")

				// Put once.
				_, err = c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text)})
				refused(t, "another put", err, "AccessDenied", "cannot be replaced")
				_, err = c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &s.key})
				refused(t, "a delete", err, "AccessDenied", "goes with its build")
			}
		}
		if n := y.files(); n != 12 {
			t.Errorf("%d files", n)
		}
	})
}

func crcText(text []byte) string {
	h := crc32.NewIEEE()
	_, _ = h.Write(text)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// TestOnlyItsOwnObject: credentials are for one key, until they expire.
func TestOnlyItsOwnObject(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(1000)
		s, other := y.create(), y.create()
		c := y.client(s, false)
		for _, target := range [][2]string{
			{s.bucket, other.key}, {s.bucket, s.key + "x"}, {s.bucket, "x/" + s.key}, {"other-bucket", s.key}, {s.bucket, "123456789012/../" + s.key},
		} {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &target[0], Key: &target[1], Body: bytes.NewReader(text)})
			refused(t, fmt.Sprint(target), err, "AccessDenied", "nothing else")
			_, err = c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &target[0], Key: &target[1]})
			refused(t, fmt.Sprint(target), err, "AccessDenied", "nothing else")
		}
		_, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.bucket})
		refused(t, "a listing", err, "AccessDenied", "nothing else")
		_, err = c.ListBuckets(t.Context(), &s3.ListBucketsInput{})
		refused(t, "all buckets", err, "AccessDenied", "nothing else")
		_, err = c.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: &s.bucket, Key: &s.key, Tagging: &types.Tagging{TagSet: []types.Tag{}}})
		refused(t, "tags", err, "NotImplemented", "tagging")
		_, err = c.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: &s.bucket, Key: &s.key, CopySource: new(other.bucket + "/" + other.key)})
		refused(t, "a copy", err, "NotImplemented", "copied")
		_, err = c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key})
		refused(t, "what is not there yet", err, "NoSuchKey", "")

		wrong := s
		wrong.creds.SecretAccessKey += "x"
		_, err = y.client(wrong, false).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text)})
		refused(t, "a wrong secret", err, "SignatureDoesNotMatch", "")
		wrong = s
		wrong.creds.SessionToken = other.creds.SessionToken
		_, err = y.client(wrong, false).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text)})
		refused(t, "another's token", err, "InvalidAccessKeyId", "RequestUploadCredentials")
		wrong = s
		wrong.creds = aws.Credentials{AccessKeyID: "AKIDCONFORMANCE", SecretAccessKey: "secret"}
		_, err = y.client(wrong, false).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text)})
		refused(t, "another kind of key", err, "InvalidAccessKeyId", "")

		y.clock.Advance(3 * time.Hour)
		_, err = c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text)})
		refused(t, "too late", err, "ExpiredToken", "RequestUploadCredentials")

		y.status(s.id, gltypes.BuildStatusInitialized)
		if n := y.files(); n != 0 {
			t.Errorf("%d files", n)
		}
	})
}

func TestBuildsThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		s := y.create()
		_, err := y.client(s, false).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: strings.NewReader("no zip")})
		refused(t, "no zip", err, "InvalidRequest", "FAILED: it is not a zip archive")
		y.status(s.id, gltypes.BuildStatusFailed)

		y.Builds.Config.BuildBytes = 1000
		s = y.create()
		_, err = y.client(s, false).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(archiveOf(1000))})
		refused(t, "over the quota", err, "EntityTooLarge", "quota")
		if n := y.files(); n != 0 {
			t.Errorf("%d files", n)
		}
	})
}

func TestMultipart(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(10_000)
		parts := [][]byte{text[:4000], text[4000:8000], text[8000:]}
		for _, algorithm := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha256} {
			for _, secure := range []bool{false, true} {
				s := y.create()
				c := y.client(s, secure)
				u, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &s.key, ChecksumAlgorithm: algorithm})
				expect.OK(t, err)
				var done types.CompletedMultipartUpload
				for i, p := range parts {
					out, err := c.UploadPart(t.Context(), &s3.UploadPartInput{
						Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, PartNumber: new(int32(i + 1)), Body: bytes.NewReader(p), ChecksumAlgorithm: algorithm,
					})
					if err != nil {
						t.Fatalf("%s: %v", algorithm, err)
					}
					done.Parts = append(done.Parts, types.CompletedPart{
						PartNumber: new(int32(i + 1)), ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC64NVME: out.ChecksumCRC64NVME, ChecksumSHA256: out.ChecksumSHA256,
					})
				}
				listed, err := c.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, MaxParts: new(int32(2))})
				expect.OK(t, err)
				if len(listed.Parts) != 2 || !*listed.IsTruncated || *listed.NextPartNumberMarker != "2" || *listed.Parts[1].Size != 4000 || *listed.Parts[0].ETag != *done.Parts[0].ETag {
					t.Errorf("%+v", listed)
				}
				listed, err = c.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, PartNumberMarker: new("2")})
				if err != nil || len(listed.Parts) != 1 || *listed.IsTruncated {
					t.Errorf("%+v, %v", listed, err)
				}
				complete := func(change func(in *s3.CompleteMultipartUploadInput)) (*s3.CompleteMultipartUploadOutput, error) {
					in := &s3.CompleteMultipartUploadInput{
						Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: append([]types.CompletedPart(nil), done.Parts...)},
					}
					change(in)
					return c.CompleteMultipartUpload(t.Context(), in)
				}
				_, err = complete(func(in *s3.CompleteMultipartUploadInput) {
					in.MultipartUpload.Parts[0], in.MultipartUpload.Parts[1] = in.MultipartUpload.Parts[1], in.MultipartUpload.Parts[0]
				})
				refused(t, "out of order", err, "InvalidPartOrder", "")
				_, err = complete(func(in *s3.CompleteMultipartUploadInput) { in.MultipartUpload.Parts[1].ETag = new(`"0"`) })
				refused(t, "a wrong tag", err, "InvalidPart", "Part 2")
				_, err = complete(func(in *s3.CompleteMultipartUploadInput) { in.MultipartUpload.Parts[2].PartNumber = new(int32(4)) })
				refused(t, "a part that is not there", err, "InvalidPart", "Part 4")
				_, err = complete(func(in *s3.CompleteMultipartUploadInput) { in.MultipartUpload.Parts = nil })
				refused(t, "no part", err, "MalformedXML", "")
				_, err = complete(func(in *s3.CompleteMultipartUploadInput) { in.MpuObjectSize = new(int64(5)) })
				refused(t, "another size", err, "InvalidRequest", "x-amz-mp-object-size")
				if algorithm == types.ChecksumAlgorithmCrc64nvme {
					_, err = complete(func(in *s3.CompleteMultipartUploadInput) { in.ChecksumCRC64NVME = new("AAAAAAAAAAA=") })
					refused(t, "another checksum", err, "BadDigest", "CRC64NVME")
				}
				out, err := complete(func(*s3.CompleteMultipartUploadInput) {})
				if err != nil {
					t.Fatalf("%s: %v", algorithm, err)
				}
				if !strings.HasSuffix(*out.ETag, `-3"`) || *out.Bucket != s.bucket || *out.Key != s.key || algorithm == types.ChecksumAlgorithmCrc32 && !strings.HasSuffix(*out.ChecksumCRC32, "-3") {
					t.Errorf("%+v", out)
				}
				y.status(s.id, gltypes.BuildStatusReady)
				again, err := complete(func(*s3.CompleteMultipartUploadInput) {})
				if err != nil || *again.ETag != *out.ETag {
					t.Errorf("asked again: %+v, %v", again, err)
				}
				got, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key})
				expect.OK(t, err)
				if back, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(back, text) || *got.ETag != *out.ETag {
					t.Errorf("%d bytes back, %v", len(back), err)
				}
				_, err = c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, PartNumber: new(int32(1)), Body: bytes.NewReader(text)})
				refused(t, "a part too late", err, "NoSuchUpload", "")
			}
		}
		if n := y.files(); n != 8 {
			t.Errorf("%d files", n)
		}
	})
}

func TestUploadsThatEndEarly(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		s := y.create()
		c := y.client(s, false)
		u, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &s.key})
		expect.OK(t, err)
		var done types.CompletedMultipartUpload
		for n := range int32(2) {
			out, err := c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, PartNumber: new(n + 1), Body: strings.NewReader("small")})
			expect.OK(t, err)
			done.Parts = append(done.Parts, types.CompletedPart{PartNumber: new(n + 1), ETag: out.ETag})
		}
		_, err = c.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, MultipartUpload: &done})
		refused(t, "small parts", err, "EntityTooSmall", "")
		_, err = c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, PartNumber: new(int32(10_001)), Body: strings.NewReader("x")})
		refused(t, "too high a number", err, "InvalidArgument", "10000")
		_, err = c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId})
		expect.OK(t, err)
		_, err = c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId})
		refused(t, "aborted twice", err, "NoSuchUpload", "")
		_, err = c.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId})
		refused(t, "aborted", err, "NoSuchUpload", "")
		_, err = c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &s.key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeFullObject})
		refused(t, "a checksum there is not", err, "InvalidRequest", "FULL_OBJECT")
		if n := y.files(); n != 0 {
			t.Errorf("%d files", n)
		}
	})
}

// TestASignOfLife: who waits for parts to be joined is told that it goes on, and hears of a
// fault behind status 200.
func TestASignOfLife(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		y.Pulse = time.Nanosecond
		for _, c := range []struct {
			text []byte
			code string
		}{{archiveOf(1000), ""}, {[]byte("no zip"), "InvalidRequest"}} {
			s := y.create()
			cl := y.client(s, false)
			u, err := cl.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &s.key})
			expect.OK(t, err)
			out, err := cl.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, PartNumber: new(int32(1)), Body: bytes.NewReader(c.text)})
			expect.OK(t, err)
			done := &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: new(int32(1)), ETag: out.ETag}}}
			end, err := cl.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: &s.bucket, Key: &s.key, UploadId: u.UploadId, MultipartUpload: done})
			if c.code != "" {
				refused(t, "a fault", err, c.code, "FAILED")
			} else if err != nil || !strings.HasSuffix(*end.ETag, `-1"`) {
				t.Errorf("%+v, %v", end, err)
			}
		}
	})
}

func TestVirtualHostsAndPrefixes(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(1000)
		dial := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, y.http.Listener.Addr().String())
		}}}
		for name, change := range map[string]func(o *s3.Options){
			"virtual host": func(o *s3.Options) {
				o.BaseEndpoint, o.UsePathStyle, o.HTTPClient = new("http://depot.example:9170"), false, dial
			},
			"prefix": func(o *s3.Options) { o.BaseEndpoint = new(y.http.URL + "/games/api") },
		} {
			s := y.create()
			c := y.client(s, false, change)
			if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(text)}); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			y.status(s.id, gltypes.BuildStatusReady)
			_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: new(s.key + "x")})
			refused(t, name+", another key", err, "AccessDenied", "nothing else")
		}
	})
}

func TestPresigned(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(1000)
		s := y.create()
		p := s3.NewPresignClient(y.client(s, false), s3.WithPresignExpires(time.Minute))
		put, err := p.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key})
		expect.OK(t, err)
		r, err := http.NewRequestWithContext(t.Context(), put.Method, put.URL, bytes.NewReader(text))
		expect.OK(t, err)
		answer, err := http.DefaultClient.Do(r)
		expect.OK(t, err)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("put: %s", answer.Status)
		}
		get, err := p.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key})
		expect.OK(t, err)
		status, body := fetch(t, get.URL)
		if status != http.StatusOK || !bytes.Equal(body, text) {
			t.Errorf("get: %d, %d bytes", status, len(body))
		}
		y.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
		status, body = fetch(t, get.URL)
		if status != http.StatusForbidden || !bytes.Contains(body, []byte("<Code>AccessDenied</Code><Message>Request has expired.</Message>")) {
			t.Errorf("too late: %d %s", status, body)
		}
		status, body = fetch(t, strings.Replace(get.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1))
		if status != http.StatusForbidden {
			t.Errorf("altered: %d %s", status, body)
		}
	})
}

func fetch(t *testing.T, url string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	expect.OK(t, err)
	answer, err := http.DefaultClient.Do(r)
	expect.OK(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	expect.OK(t, err)
	return answer.StatusCode, body
}

// raw sends a put with a body as it is, signed with a payload hash and headers.
func (y *yard) raw(s slip, payload string, body io.Reader, length int64, headers map[string]string) (int, string, *http.Request) {
	y.t.Helper()
	r, err := http.NewRequestWithContext(y.t.Context(), http.MethodPut, y.http.URL+"/"+s.bucket+"/"+s.key, body)
	expect.OK(y.t, err)
	r.ContentLength = length
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("X-Amz-Content-Sha256", payload)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	expect.OK(y.t, signer.SignHTTP(y.t.Context(), s.creds, r, payload, "s3", "us-west-2", time.Now()))
	if signed, ok := body.(*signedChunks); ok {
		signed.begin(s, r)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error(), r
	}
	defer func() { _ = answer.Body.Close() }()
	var e struct{ Code, Message string }
	text, _ := io.ReadAll(answer.Body)
	_ = xml.Unmarshal(text, &e)
	return answer.StatusCode, e.Code, r
}

// signedChunks is an aws-chunked body, each chunk signed by the rules of the S3 reference.
type signedChunks struct {
	text     []byte
	trailer  string // "name:value"; "" for none
	spoil    int    // which chunk's signature is wrong; 0: none
	previous string
	key      []byte
	scope    string
	stamp    string
	out      io.Reader
}

func (c *signedChunks) begin(s slip, r *http.Request) {
	_, c.previous, _ = strings.Cut(r.Header.Get("Authorization"), "Signature=")
	c.stamp = r.Header.Get("X-Amz-Date")
	c.scope = c.stamp[:8] + "/us-west-2/s3/aws4_request"
	c.key = []byte("AWS4" + s.creds.SecretAccessKey)
	for part := range strings.SplitSeq(c.scope, "/") {
		c.key = mac(c.key, part)
	}
	var b bytes.Buffer
	n := 0
	for rest := c.text; ; {
		n++
		chunk := rest[:min(len(rest), 8192)]
		rest = rest[len(chunk):]
		sum, none := sha256.Sum256(chunk), sha256.Sum256(nil)
		signature := c.sign("AWS4-HMAC-SHA256-PAYLOAD", hex.EncodeToString(none[:])+"\n"+hex.EncodeToString(sum[:]))
		if n == c.spoil {
			signature = strings.Repeat("0", 64)
		}
		fmt.Fprintf(&b, "%x;chunk-signature=%s\r\n%s", len(chunk), signature, chunk)
		if len(chunk) == 0 {
			break
		}
		b.WriteString("\r\n")
	}
	if c.trailer != "" {
		sum := sha256.Sum256([]byte(c.trailer + "\n"))
		b.WriteString(c.trailer + "\r\nx-amz-trailer-signature:" + c.sign("AWS4-HMAC-SHA256-TRAILER", hex.EncodeToString(sum[:])) + "\r\n")
	}
	b.WriteString("\r\n")
	c.out = &b
}

func (c *signedChunks) sign(kind, rest string) string {
	c.previous = hex.EncodeToString(mac(c.key, kind+"\n"+c.stamp+"\n"+c.scope+"\n"+c.previous+"\n"+rest))
	return c.previous
}

func (c *signedChunks) Read(p []byte) (int, error) { return c.out.Read(p) }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func TestSignedChunks(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(20_000)
		for _, c := range []struct {
			name, payload, trailer, named string
			spoil, status                 int
			code                          string
		}{
			{"plain", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "", 0, 200, ""},
			{"trailing", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "x-amz-checksum-crc32:" + crcText(text), "x-amz-checksum-crc32", 0, 200, ""},
			{"a wrong first chunk", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "", 1, 403, "SignatureDoesNotMatch"},
			{"a wrong last chunk", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "", 4, 403, "SignatureDoesNotMatch"},
			{"a wrong checksum", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "x-amz-checksum-crc32:AAAAAA==", "x-amz-checksum-crc32", 0, 400, "BadDigest"},
			{"another trailer", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "x-amz-checksum-crc32:" + crcText(text), "x-amz-checksum-sha1", 0, 400, "MalformedTrailerError"},
		} {
			s := y.create()
			headers := map[string]string{"X-Amz-Decoded-Content-Length": fmt.Sprint(len(text)), "Content-Encoding": "aws-chunked"}
			if c.named != "" {
				headers["X-Amz-Trailer"] = c.named
			}
			status, code, _ := y.raw(s, c.payload, &signedChunks{text: text, trailer: c.trailer, spoil: c.spoil}, -1, headers)
			if status != c.status || code != c.code {
				t.Errorf("%s: %d %s, want %d %s", c.name, status, code, c.status, c.code)
			}
			want := gltypes.BuildStatusInitialized
			if c.status == 200 {
				want = gltypes.BuildStatusReady
			}
			y.status(s.id, want)
		}
		if n := y.files(); n != 2 {
			t.Errorf("%d files", n)
		}
	})
}

func TestBodiesThatAreNotWhatTheySay(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		text := archiveOf(5000)
		sum := sha256.Sum256(text)
		hash, unsigned, streaming := hex.EncodeToString(sum[:]), "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
		chunked := func(trailer string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n%s\r\n", len(text), text, trailer) }
		decoded := fmt.Sprint(len(text))
		for _, c := range []struct {
			name    string
			payload string
			body    string
			headers map[string]string
			status  int
			code    string
		}{
			{"another hash", strings.Repeat("0", 64), string(text), nil, 400, "XAmzContentSHA256Mismatch"},
			{"another MD5", unsigned, string(text), map[string]string{"Content-Md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "BadDigest"},
			{"no MD5", unsigned, string(text), map[string]string{"Content-Md5": "AAAA"}, 400, "InvalidDigest"},
			{"another checksum", unsigned, string(text), map[string]string{"X-Amz-Checksum-Crc32": "AAAAAA=="}, 400, "BadDigest"},
			{"an unknown checksum", unsigned, string(text), map[string]string{"X-Amz-Checksum-Adler32": "AAAAAA=="}, 400, "InvalidRequest"},
			{"two checksums", unsigned, string(text), map[string]string{"X-Amz-Checksum-Crc32": crcText(text), "X-Amz-Checksum-Sha1": "AA=="}, 400, "InvalidRequest"},
			{"a trailer without chunks", unsigned, string(text), map[string]string{"X-Amz-Trailer": "x-amz-checksum-crc32"}, 400, "InvalidRequest"},
			{"no trailer", streaming, chunked(""), map[string]string{"X-Amz-Trailer": "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length": decoded}, 400, "MalformedTrailerError"},
			{"a trailer of something else", streaming, chunked(""), map[string]string{"X-Amz-Trailer": "x-amz-meta-a", "X-Amz-Decoded-Content-Length": decoded}, 400, "InvalidRequest"},
			{"a broken trailer", streaming, chunked("nothing\r\n"), map[string]string{"X-Amz-Trailer": "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length": decoded}, 400, "MalformedTrailerError"},
			{"something behind the trailer", streaming, chunked("") + "more", map[string]string{"X-Amz-Decoded-Content-Length": decoded}, 400, "MalformedTrailerError"},
			{"no decoded length", streaming, chunked(""), nil, 411, "MissingContentLength"},
			{"more than it says", streaming, chunked(""), map[string]string{"X-Amz-Decoded-Content-Length": "100"}, 400, "IncompleteBody"},
			{"less than it says", streaming, chunked(""), map[string]string{"X-Amz-Decoded-Content-Length": "6000"}, 400, "IncompleteBody"},
			{"a chunk cut short", streaming, "1000\r\nabc", map[string]string{"X-Amz-Decoded-Content-Length": decoded}, 400, "IncompleteBody"},
			{"no chunks", streaming, string(text), map[string]string{"X-Amz-Decoded-Content-Length": decoded}, 400, "InvalidRequest"},
			{"a huge chunk", streaming, "ffffffffffffffff\r\n", map[string]string{"X-Amz-Decoded-Content-Length": decoded}, 400, "InvalidRequest"},
			{"a size without end", streaming, strings.Repeat("0", 10_000), map[string]string{"X-Amz-Decoded-Content-Length": decoded}, 400, "InvalidRequest"},
			{"a hash of no kind", "WHATEVER", string(text), nil, 400, "AuthorizationHeaderMalformed"},
		} {
			s := y.create()
			status, code, _ := y.raw(s, c.payload, strings.NewReader(c.body), int64(len(c.body)), c.headers)
			if status != c.status || code != c.code {
				t.Errorf("%s: %d %s, want %d %s", c.name, status, code, c.status, c.code)
			}
			y.status(s.id, gltypes.BuildStatusInitialized)
		}
		s := y.create()
		if status, code, _ := y.raw(s, unsigned, struct{ io.Reader }{bytes.NewReader(text)}, -1, nil); status != http.StatusLengthRequired {
			t.Errorf("no length: %d %s", status, code)
		}
		if n := y.files(); n != 0 {
			t.Errorf("%d files are left", n)
		}
		// And all the same is well when it is what it says.
		if status, code, _ := y.raw(s, hash, bytes.NewReader(text), int64(len(text)), map[string]string{"X-Amz-Checksum-Crc32": crcText(text)}); status != 200 {
			t.Errorf("%d %s", status, code)
		}
	})
}

// TestSlowAndDroppedUploads: they end in their time and leave nothing behind.
func TestSlowAndDroppedUploads(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		s := y.create()
		in, out := io.Pipe()
		go func() { _, _ = out.Write([]byte("PK")) }()
		begun := time.Now()
		status, code, _ := y.raw(s, "UNSIGNED-PAYLOAD", in, 1000, nil)
		// The server gives up on the connection, and the client may see that first.
		if (status != 400 || code != "RequestTimeout") && status != 0 || time.Since(begun) > 15*time.Second {
			t.Errorf("a slow upload: %d %s after %s", status, code, time.Since(begun))
		}
		_ = out.Close()

		ctx, cancel := context.WithCancel(t.Context())
		in, out = io.Pipe()
		var sent sync.WaitGroup
		sent.Go(func() {
			_, _ = out.Write(archiveOf(100))
			cancel()
			_ = out.Close()
		})
		c := y.client(s, true, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: in, ContentLength: new(int64(1 << 20))})
		if err == nil {
			t.Error("a dropped upload is accepted")
		}
		sent.Wait()
		for range 100 { // the server hears of it a moment later
			if y.files() == 0 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := y.files(); n != 0 {
			t.Errorf("%d files are left", n)
		}
		y.status(s.id, gltypes.BuildStatusInitialized)
		if _, err := y.client(s, false).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(archiveOf(100))}); err != nil {
			t.Errorf("another try: %v", err)
		}
	})
}

// TestHTTP2: the same over HTTP/2.
func TestHTTP2(t *testing.T) {
	each(t, func(t *testing.T, y *yard) {
		server := httptest.NewUnstartedServer(y.Server)
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{NextProtos: []string{"h2"}}
		server.StartTLS()
		t.Cleanup(server.Close)
		s := y.create()
		c := y.client(s, true, func(o *s3.Options) { o.BaseEndpoint, o.HTTPClient = &server.URL, server.Client() })
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(archiveOf(1 << 20))})
		expect.OK(t, err)
		y.status(s.id, gltypes.BuildStatusReady)
	})
}

func TestClaims(t *testing.T) {
	d := &depot.Server{}
	for _, c := range []struct {
		target, authorization string
		want                  bool
	}{
		{"/bucket/key", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0", true},
		{"/", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/gamelift/aws4_request, SignedHeaders=host, Signature=0", false},
		{"/", "", false},
		{"/bucket/key?X-Amz-Credential=A%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", "", true},
		{"/bucket/key?X-Amz-Credential=A%2F20260101%2Fus-east-1%2Fgamelift%2Faws4_request", "", false},
		{"/matchyard/blob/logs/a?expires=1", "", true},
		{"/matchyard/host", "", false},
	} {
		r := httptest.NewRequest(http.MethodPut, c.target, http.NoBody)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		if got := d.Claims(r); got != c.want {
			t.Errorf("%s %s: %v", c.target, c.authorization, got)
		}
	}
}
