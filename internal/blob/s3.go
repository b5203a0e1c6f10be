package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// S3 is a Store in a bucket of an S3-compatible store, and a Source of its other buckets.
// It speaks through aws-sdk-go-v2's S3 client, because the rest of that SDK is here already
// and it finds credentials wherever AWS's own tools do.
type S3 struct {
	client *s3.Client
	bucket string
	prefix string // "" or with a slash at its end
}

// Sizes of an upload. S3 takes 10,000 parts, of which all but the last have 5 MiB or more.
const (
	partSize = 16 << 20
	maxParts = 9000
)

// errURL refuses an s3:// URL; its text says what one looks like.
var errURL = errors.New("want s3://BUCKET/PREFIX?endpoint=URL&region=REGION&path-style=true, all but the bucket optional")

// CheckS3 tells what is wrong with an s3:// URL.
func CheckS3(text string) error {
	_, _, err := readURL(text)
	return err
}

// OpenS3 opens the store of an s3:// URL. Credentials come from where AWS's tools look for
// them: the environment, the profile, the machine's role.
func OpenS3(ctx context.Context, text string) (*S3, error) {
	u, q, err := readURL(text)
	if err != nil {
		return nil, err
	}
	c, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if region := q.Get("region"); region != "" {
		c.Region = region
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	s := &S3{bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if s.prefix != "" {
		s.prefix += "/"
	}
	s.client = s3.NewFromConfig(c, func(o *s3.Options) {
		// Checksums that AWS added lately are unknown to older stores.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if endpoint := q.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = &endpoint
			o.UsePathStyle = q.Get("path-style") != "false"
		} else {
			o.UsePathStyle = q.Get("path-style") == "true"
		}
	})
	return s, nil
}

// NewS3 is the store in a bucket that a client reaches, whatever keys the client's
// credentials allow.
func NewS3(client *s3.Client, bucket string) *S3 { return &S3{client: client, bucket: bucket} }

func readURL(text string) (*url.URL, url.Values, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, nil, fmt.Errorf("%q: %w", text, errURL)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", text, errURL)
	}
	for name, values := range q {
		v := values[0]
		switch {
		case len(values) > 1:
		case name == "region":
			continue
		case name == "path-style" && (v == "true" || v == "false"):
			continue
		case name == "endpoint":
			if e, err := url.Parse(v); err == nil && (e.Scheme == "http" || e.Scheme == "https") && e.Host != "" {
				continue
			}
		}
		return nil, nil, fmt.Errorf("%q: %s: %w", text, name, errURL)
	}
	return u, q, nil
}

// Put uploads a file, in parts when it is large. Parts of an upload that fails are given
// up; where even that fails, the store's own rule for unfinished uploads ends them.
func (s *S3) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	r = &exact{r: r, left: size}
	if size > partSize {
		return s.putParts(ctx, s.prefix+key, r, size)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: new(s.prefix + key), Body: bytes.NewReader(body), ContentLength: &size,
	})
	return err
}

func (s *S3) putParts(ctx context.Context, key string, r io.Reader, size int64) (err error) {
	upload, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_, _ = s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key, UploadId: upload.UploadId})
		}
	}()
	var done types.CompletedMultipartUpload
	room := make([]byte, max(partSize, size/maxParts+1))
	for left := size; left > 0; {
		part := room[:min(left, int64(len(room)))]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		left -= int64(len(part))
		number := int32(len(done.Parts) + 1)
		out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &s.bucket, Key: &key, UploadId: upload.UploadId, PartNumber: &number, Body: bytes.NewReader(part),
		})
		if err != nil {
			return err
		}
		done.Parts = append(done.Parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number})
	}
	if _, err := r.Read(room[:1]); !errors.Is(err, io.EOF) { // it may be too long, or its checksum wrong
		if err == nil {
			err = errLong
		}
		return err
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, UploadId: upload.UploadId, MultipartUpload: &done,
	})
	return err
}

// Get opens a file. It is read as far as the caller reads, from where the caller seeks.
func (s *S3) Get(ctx context.Context, key string) (io.ReadSeekCloser, Info, error) {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	return &object{ctx: ctx, s: s, key: s.prefix + key, size: info.Size}, info, nil
}

// Stat tells about a file.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: new(s.prefix + key)})
	if err != nil {
		return Info{}, absent(err)
	}
	return Info{aws.ToInt64(out.ContentLength), aws.ToTime(out.LastModified)}, nil
}

// Delete removes a file.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: new(s.prefix + key)})
	if errors.Is(absent(err), fs.ErrNotExist) {
		return nil
	}
	return err
}

// Fetch opens an object of any bucket that the credentials reach.
func (s *S3) Fetch(ctx context.Context, bucket, key, version string) (io.ReadCloser, Info, error) {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		return nil, Info{}, absent(err)
	}
	return out.Body, Info{aws.ToInt64(out.ContentLength), aws.ToTime(out.LastModified)}, nil
}

// absent makes an answer that says there is nothing, or nothing for us, wrap fs.ErrNotExist.
func absent(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		switch e.ErrorCode() {
		case "NoSuchKey", "NoSuchBucket", "NoSuchVersion", "NotFound", "AccessDenied", "Forbidden", "InvalidBucketName":
			return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
	}
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		if code := e.HTTPStatusCode(); code == http.StatusNotFound || code == http.StatusForbidden {
			return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
	}
	return err
}

// object reads an object by ranges.
type object struct {
	ctx  context.Context //nolint:containedctx // it is that of Get, whose caller reads
	s    *S3
	key  string
	size int64
	at   int64
	body io.ReadCloser // from at on; nil until something is read there
}

func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if o.body == nil {
		out, err := o.s.client.GetObject(o.ctx, &s3.GetObjectInput{
			Bucket: &o.s.bucket, Key: &o.key, Range: new("bytes=" + strconv.FormatInt(o.at, 10) + "-"),
		})
		if err != nil {
			return 0, absent(err)
		}
		o.body = out.Body
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	if errors.Is(err, io.EOF) && o.at < o.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("%s: seek to %d", path.Base(o.key), offset)
	}
	if offset != o.at {
		o.at = offset
		return offset, o.Close()
	}
	return offset, nil
}

func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}
