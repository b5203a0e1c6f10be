package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/archive"
	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/store"
)

// Channel tells that a build may have a file to fetch or to look through; the payload is
// its id.
const Channel = "build"

// fetchFor is for how long a build's file is tried to be fetched.
const fetchFor = time.Hour

// Work fetches and looks through one file that waits for it, and tells whether there may be
// more. Any number of nodes may do so: a file is one node's until that node is gone. An
// error of the network or the disk leaves the file waiting.
func (s *Service) Work(ctx context.Context) (more bool, err error) {
	b, found, err := s.claim(ctx)
	if err != nil || !found {
		return false, err
	}
	defer s.end(b.Key)
	err = s.inspect(ctx, b)
	if _, refused := errors.AsType[*archive.Refused](err); refused || errors.Is(err, ErrAccepted) {
		err = nil // it is the build's status now, or the build was deleted
	}
	return err == nil, err
}

// claim takes a build that waits, of no node or of one that is gone.
func (s *Service) claim(ctx context.Context) (b Build, found bool, err error) {
	var waiting []store.Key
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		waiting, err = keysOf(tx, `SELECT key FROM build WHERE work = 1 AND (worker IS NULL OR worker = $1 OR worker NOT IN (SELECT id FROM node)) ORDER BY key LIMIT 100`, s.DB.Node())
		return err
	})
	for _, key := range waiting {
		if !s.begin(key) {
			continue
		}
		err := s.DB.Write(ctx, func(tx *store.Tx) error {
			n, err := tx.Exec(`UPDATE build SET worker = $2 WHERE key = $1 AND work = 1 AND (worker IS NULL OR worker = $2 OR worker NOT IN (SELECT id FROM node))`, key, s.DB.Node())
			if found = n == 1; err != nil || !found {
				return err
			}
			b, err = buildByKey(tx, key, "")
			return err
		})
		if err == nil && found {
			return b, true, nil
		}
		s.end(key)
		if err != nil {
			return b, false, err
		}
	}
	return b, false, err
}

// begin marks a build as being worked on by this process, unless it is.
func (s *Service) begin(key store.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[key] {
		return false
	}
	if s.busy == nil {
		s.busy = map[store.Key]bool{}
	}
	s.busy[key] = true
	return true
}

func (s *Service) end(key store.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, key)
}

// inspectFor looks through an accepted file. What does not come to an end in time, or fails
// for a reason that is not the file's, is left to Work.
func (s *Service) inspectFor(ctx context.Context, key store.Key, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var b Build
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		b, err = buildByKey(tx, key, "")
		return err
	})
	if err == nil {
		err = s.inspect(ctx, b)
	}
	if refused, ok := errors.AsType[*archive.Refused](err); ok {
		return refused
	}
	return nil
}

// inspect fetches the file of a build if need be, looks through it and says in the build's
// status what came of it. The error is an *archive.Refused when it is FAILED; with any other
// the file is left to whoever comes next.
func (s *Service) inspect(ctx context.Context, b Build) (err error) {
	defer func() {
		if _, refused := errors.AsType[*archive.Refused](err); err != nil && !refused {
			err = errors.Join(fmt.Errorf("file of %s: %w", b.ID, err), s.leave(context.WithoutCancel(ctx), b.Key))
		}
	}()
	if b.Blob == "" {
		if b, err = s.fetch(ctx, b); err != nil {
			return err
		}
	}
	return s.conclude(ctx, b, s.look(ctx, b.Blob, archive.Limits{Windows: strings.HasPrefix(string(b.OS), "WINDOWS")}))
}

// look looks through an archive.
func (s *Service) look(ctx context.Context, key string, l archive.Limits) error {
	f, size, err := blob.Local(ctx, s.Blobs, key)
	if errors.Is(err, fs.ErrNotExist) {
		return &archive.Refused{Reason: "the file is not in the store any more"}
	}
	if err != nil {
		return err
	}
	_, err = archive.Check(ctx, f, size, l)
	return errors.Join(err, f.Close())
}

// leave lets others have a try.
func (s *Service) leave(ctx context.Context, key store.Key) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE build SET worker = NULL WHERE key = $1 AND worker = $2`, key, s.DB.Node())
		return err
	})
}

// conclude makes a build READY, or FAILED if the verdict on its file is an *archive.Refused;
// then the file is of no use and goes. Any other verdict is returned.
func (s *Service) conclude(ctx context.Context, b Build, verdict error) error {
	refused, failed := errors.AsType[*archive.Refused](verdict)
	if verdict != nil && !failed {
		return verdict
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if !failed {
			_, err := tx.Exec(`UPDATE build SET status = $2, work = 0, worker = NULL WHERE key = $1 AND work = 1`, b.Key, string(types.BuildStatusReady))
			return err
		}
		n, err := tx.Exec(`UPDATE build SET status = $2, reason = $3, blob = NULL, size = 0, work = 0, worker = NULL WHERE key = $1 AND work = 1`,
			b.Key, string(types.BuildStatusFailed), refused.Reason)
		if err != nil || n == 0 || b.Blob == "" {
			return err
		}
		if err := trashTx(tx, b.Blob, tx.Now); err != nil {
			return err
		}
		return giveTx(tx, quotaBuildBytes, b.Size)
	})
	if err != nil {
		return err
	}
	return verdict
}

// fetch copies a build's file from the caller's own storage location.
func (s *Service) fetch(ctx context.Context, b Build) (Build, error) {
	slot := Slot{fileName(Permit{ID: b.ID})}
	size, err := s.copyIn(ctx, b.source, slot, quotaBuildBytes)
	if err == nil {
		err = s.DB.Write(ctx, func(tx *store.Tx) error {
			if err := keepTx(tx, slot); err != nil {
				return err
			}
			n, err := tx.Exec(`UPDATE build SET blob = $2, size = $3 WHERE key = $1 AND work = 1 AND blob IS NULL`, b.Key, slot.Blob, size)
			if err == nil && n == 0 {
				err = ErrAccepted // it was deleted meanwhile
			}
			if err != nil {
				return err
			}
			return s.takeTx(tx, quotaBuildBytes, size)
		})
	}
	if err == nil {
		b.Blob, b.Size = slot.Blob, size
		return b, nil
	}
	_ = s.Discard(context.WithoutCancel(ctx), slot) // else it goes when its time is over
	if reason := s.hopeless(b, err); reason != "" {
		return b, s.conclude(ctx, b, &archive.Refused{Reason: reason})
	}
	return b, err
}

// hopeless tells why a file cannot be fetched, once there is no sense in trying again.
func (s *Service) hopeless(b Build, err error) string {
	quota, over := errors.AsType[*QuotaError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the file is not in the storage location, or cannot be read"
	case over:
		return quota.text
	case s.DB.Now().Sub(b.CreatedAt) > fetchFor:
		return fmt.Sprintf("the file could not be fetched for %s: %v", fetchFor, err)
	}
	return ""
}

// copyIn copies a caller's own file into a slot of the blob store.
func (s *Service) copyIn(ctx context.Context, from *types.S3Location, slot Slot, quota string) (size int64, err error) {
	if s.Sources == nil {
		return 0, fmt.Errorf("no sources: %w", fs.ErrNotExist)
	}
	r, info, err := s.Sources.Fetch(ctx, *from.Bucket, *from.Key, text(from.ObjectVersion))
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.roomTx(tx, quota, info.Size); err != nil {
			return err
		}
		return trashTx(tx, slot.Blob, tx.Now.Add(slotLife))
	})
	if err != nil {
		return 0, err
	}
	return info.Size, s.Blobs.Put(ctx, slot.Blob, r, info.Size)
}

// accessible refuses a caller's own storage location that cannot be read, in the words that
// tools know (hosting.md 1.2); thing is what they call it there: "build" or "resource".
func (s *Service) accessible(ctx context.Context, at *types.S3Location, thing string) error {
	if at.Bucket == nil || at.Key == nil {
		return apierr.InvalidRequest("StorageLocation: it needs a Bucket and a Key")
	}
	if at.RoleArn == nil || !strings.HasPrefix(*at.RoleArn, "arn:") || !strings.Contains(*at.RoleArn, ":role/") {
		return apierr.InvalidRequest("StorageLocation.RoleArn: GameLift cannot assume the role %q: it is not the ARN of a role", text(at.RoleArn))
	}
	if strings.Contains(*at.Bucket, ".") {
		return apierr.InvalidRequest("StorageLocation.Bucket: Provided %s is not accessible. Names of buckets with a dot are not supported", thing)
	}
	if s.Sources == nil {
		return apierr.InvalidRequest("StorageLocation: Provided %s is not accessible. This server has no store to read buckets from (setting build-sources)", thing)
	}
	r, _, err := s.Sources.Fetch(ctx, *at.Bucket, *at.Key, text(at.ObjectVersion))
	if errors.Is(err, fs.ErrNotExist) {
		return apierr.InvalidRequest("StorageLocation: Provided %s is not accessible. There is no object %q in bucket %q that this server can read", thing, *at.Key, *at.Bucket)
	}
	if err != nil {
		return fmt.Errorf("storage location: %w", err)
	}
	return r.Close()
}
