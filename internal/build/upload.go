package build

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

// Errors of uploads.
var (
	// ErrAccepted says that the build has its file already, or can have none any more: a
	// file is put once (hosting.md 1.2).
	ErrAccepted = errors.New("the file of this build was uploaded already, and cannot be replaced")
	// ErrNoUpload says that there is no such upload in parts, or none any more.
	ErrNoUpload = errors.New("the upload does not exist: it may have been completed or aborted")
)

const (
	// slotLife is how long a file may take to be written until it counts as given up.
	slotLife = 24 * time.Hour
	// uploadLife is how long an upload in parts may take.
	uploadLife = 7 * 24 * time.Hour
	// answerKept is how long a completed upload is remembered for who asks again.
	answerKept = time.Hour
	// mostUploads is how many uploads in parts a build may have; the oldest make way.
	mostUploads = 4
)

// Slot is where a file that comes in is to be put in the blob store. Until it is accepted it
// counts as rubbish: whatever happens to its writer, it will be removed.
type Slot struct{ Blob string }

// Slot makes room for the file of a build, of which size bytes are to come. The error is
// ErrAccepted or a *QuotaError before a byte of it is read.
func (s *Service) Slot(ctx context.Context, p Permit, size int64) (Slot, error) {
	slot := Slot{fileName(p)}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := awaiting(tx, p.Build, ""); err != nil {
			return err
		}
		if err := s.roomTx(tx, quotaBuildBytes, size); err != nil {
			return err
		}
		return trashTx(tx, slot.Blob, tx.Now.Add(slotLife))
	})
	return slot, err
}

func fileName(p Permit) string { return "builds/" + string(p.ID) + "/" + rand.Text() }

// awaiting returns ErrAccepted unless the file of a build may come in.
func awaiting(tx *store.Tx, key store.Key, lock string) error {
	b, err := buildByKey(tx, key, lock)
	if errors.Is(err, store.ErrNoRows) || err == nil && (b.deleted || b.source != nil || b.Blob != "" || b.Status != types.BuildStatusInitialized) {
		return ErrAccepted
	}
	return err
}

// Discard gives a slot up, with what may be in it.
func (s *Service) Discard(ctx context.Context, slot Slot) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error { return trashTx(tx, slot.Blob, tx.Now) })
}

// Stored is a file that was written to a slot.
type Stored struct {
	Slot

	Size int64
	ETag string
}

// Accept makes a file the build's, for good, unless it has one: of several that come in at
// the same time one is accepted. Then it looks through the file, for as long as patience
// says; what takes longer goes on in the background. The error is an *archive.Refused when
// the file was accepted and is of no use: the build is FAILED.
func (s *Service) Accept(ctx context.Context, p Permit, f Stored, patience time.Duration) error {
	s.begin(p.Build) // so that nobody else in this process looks through it before this call does
	defer s.end(p.Build)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.acceptTx(tx, p, f); err != nil {
			return err
		}
		return s.takeTx(tx, quotaBuildBytes, f.Size)
	})
	if err != nil {
		return err
	}
	return s.inspectFor(ctx, p.Build, patience)
}

// acceptTx takes a file for a build. Its bytes are not counted.
func (s *Service) acceptTx(tx *store.Tx, p Permit, f Stored) error {
	if err := awaiting(tx, p.Build, tx.ForUpdate()); err != nil {
		return err
	}
	if err := keepTx(tx, f.Slot); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE build SET blob = $2, size = $3, etag = $4, work = 1, worker = $5 WHERE key = $1`,
		p.Build, f.Blob, f.Size, f.ETag, s.DB.Node())
	tx.Notify(Channel, string(p.ID))
	return err
}

// keepTx takes a slot from the rubbish. One whose time is over is lost: sweep takes those,
// and only those.
func keepTx(tx *store.Tx, slot Slot) error {
	n, err := tx.Exec(`DELETE FROM build_trash WHERE blob = $1 AND after > $2`, slot.Blob, tx.NowMs())
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: it took more than %s", ErrNoUpload, slotLife)
	}
	return err
}

// File is the file of a permit's build, once it is accepted; else the error is
// store.ErrNoRows.
func (s *Service) File(ctx context.Context, p Permit) (Stored, error) {
	var f Stored
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		b, err := buildByKey(tx, p.Build, "")
		if err == nil && (b.Blob == "" || b.deleted || b.source != nil) {
			err = store.ErrNoRows
		}
		f = Stored{Slot{b.Blob}, b.Size, b.etag}
		return err
	})
	return f, err
}

// Upload is an upload in parts.
type Upload struct {
	Key       store.Key
	ID        string
	Algorithm string // of the parts' checksums, as in "CRC32"; "" when none was named
	Whole     bool   // the object's checksum is of all its bytes, not of the parts' checksums
	Done      string // the object's ETag, once it is complete
}

// Part is a part of an upload.
type Part struct {
	Stored

	Number   int
	Checksum string // base64, by the upload's algorithm; "" for none
	At       time.Time
}

// StartUpload begins an upload in parts.
func (s *Service) StartUpload(ctx context.Context, p Permit, algorithm string, whole bool) (Upload, error) {
	u := Upload{Algorithm: algorithm, Whole: whole}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := awaiting(tx, p.Build, tx.ForUpdate()); err != nil {
			return err
		}
		tail := store.Tail()
		u.Key = tx.NewKey()
		u.ID = u.Key.UUID(tail)
		_, err := tx.Exec(`INSERT INTO build_upload (key, tail, build, algorithm, whole, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			u.Key, tail, p.Build, algorithm, number(whole), tx.Now.Add(uploadLife).UnixMilli())
		if err != nil {
			return err
		}
		freed, err := dropUploadsTx(tx, p.Build, mostUploads)
		if err != nil {
			return err
		}
		return giveTx(tx, quotaBuildBytes, freed)
	})
	return u, err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PartSlot makes room for a part of an upload, of which size bytes are to come.
func (s *Service) PartSlot(ctx context.Context, p Permit, uploadID string, size int64) (u Upload, slot Slot, err error) {
	slot = Slot{"uploads/" + uploadID + "/" + rand.Text()}
	err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if u, err = openUpload(tx, p, uploadID, ""); err != nil {
			return err
		}
		if err := s.roomTx(tx, quotaBuildBytes, size); err != nil {
			return err
		}
		return trashTx(tx, slot.Blob, tx.Now.Add(slotLife))
	})
	return u, slot, err
}

// AcceptPart makes a file a part of an upload. It replaces one with its number.
func (s *Service) AcceptPart(ctx context.Context, p Permit, uploadID string, part Part) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		u, err := openUpload(tx, p, uploadID, tx.ForUpdate())
		if err != nil {
			return err
		}
		if err := keepTx(tx, part.Slot); err != nil {
			return err
		}
		freed, err := dropPartsTx(tx, u.Key, part.Number)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO build_part (upload, number, blob, size, etag, checksum, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			u.Key, part.Number, part.Blob, part.Size, part.ETag, part.Checksum, tx.NowMs())
		if err != nil {
			return err
		}
		return s.takeTx(tx, quotaBuildBytes, part.Size-freed)
	})
}

// Parts are an upload and its parts so far, by number. A completed upload has none left.
func (s *Service) Parts(ctx context.Context, p Permit, uploadID string) (u Upload, parts []Part, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if u, err = uploadOf(tx, p, uploadID, ""); err != nil {
			return err
		}
		parts, err = partsTx(tx, u.Key)
		return err
	})
	return u, parts, err
}

// Abort ends an upload and removes its parts.
func (s *Service) Abort(ctx context.Context, p Permit, uploadID string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		u, err := openUpload(tx, p, uploadID, tx.ForUpdate())
		if err != nil {
			return err
		}
		freed, err := dropPartsTx(tx, u.Key, 0)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM build_upload WHERE key = $1`, u.Key); err != nil {
			return err
		}
		return giveTx(tx, quotaBuildBytes, freed)
	})
}

// AssemblySlot makes room for the object that an upload's parts make; their bytes have been
// counted.
func (s *Service) AssemblySlot(ctx context.Context, p Permit, uploadID string) (Slot, error) {
	slot := Slot{fileName(p)}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := openUpload(tx, p, uploadID, ""); err != nil {
			return err
		}
		if err := awaiting(tx, p.Build, ""); err != nil {
			return err
		}
		return trashTx(tx, slot.Blob, tx.Now.Add(slotLife))
	})
	return slot, err
}

// Complete accepts what was made of an upload's parts as the build's file, and ends the
// upload. It is remembered for a while. Otherwise it is as Accept.
func (s *Service) Complete(ctx context.Context, p Permit, uploadID string, f Stored, patience time.Duration) error {
	s.begin(p.Build)
	defer s.end(p.Build)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		// The build's row comes first, as everywhere: two that lock both wait for each other.
		if err := s.acceptTx(tx, p, f); err != nil {
			return err
		}
		u, err := openUpload(tx, p, uploadID, tx.ForUpdate())
		if err != nil {
			return err
		}
		freed, err := dropPartsTx(tx, u.Key, 0)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE build_upload SET etag = $2, expires_at = $3 WHERE key = $1`, u.Key, f.ETag, tx.Now.Add(answerKept).UnixMilli()); err != nil {
			return err
		}
		return s.takeTx(tx, quotaBuildBytes, f.Size-freed)
	})
	if err != nil {
		return err
	}
	return s.inspectFor(ctx, p.Build, patience)
}

// openUpload is uploadOf for one that is not complete.
func openUpload(tx *store.Tx, p Permit, uploadID, lock string) (Upload, error) {
	u, err := uploadOf(tx, p, uploadID, lock)
	if err == nil && u.Done != "" {
		err = ErrNoUpload
	}
	return u, err
}

// uploadOf is an upload of a permit's build.
func uploadOf(tx *store.Tx, p Permit, uploadID, lock string) (Upload, error) {
	key, tail, err := store.ParseUUID(uploadID)
	if err != nil {
		return Upload{}, ErrNoUpload
	}
	u := Upload{Key: key, ID: uploadID}
	var whole int64
	var etag *string
	err = tx.QueryRow(`SELECT algorithm, whole, etag FROM build_upload WHERE key = $1 AND tail = $2 AND build = $3`+lock, key, tail, p.Build).
		Scan(&u.Algorithm, &whole, &etag)
	if errors.Is(err, store.ErrNoRows) {
		err = ErrNoUpload
	}
	u.Whole, u.Done = whole == 1, text(etag)
	return u, err
}

func partsTx(tx *store.Tx, upload store.Key) ([]Part, error) {
	rows, err := tx.Query(`SELECT number, blob, size, etag, checksum, at FROM build_part WHERE upload = $1 ORDER BY number`, upload)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var parts []Part
	for rows.Next() {
		var p Part
		var at int64
		if err := rows.Scan(&p.Number, &p.Blob, &p.Size, &p.ETag, &p.Checksum, &at); err != nil {
			return nil, err
		}
		p.At = time.UnixMilli(at).UTC()
		parts = append(parts, p)
	}
	return parts, rows.Err()
}

// dropPartsTx removes the part of a number, or all for 0, and returns their bytes.
func dropPartsTx(tx *store.Tx, upload store.Key, number int) (freed int64, err error) {
	const those = ` FROM build_part WHERE upload = $1 AND (number = $2 OR $2 = 0)`
	if err := tx.QueryRow(`SELECT COALESCE(SUM(size), 0)`+those, upload, number).Scan(&freed); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(`INSERT INTO build_trash (blob, after) SELECT blob, $3`+those, upload, number, tx.NowMs()); err != nil {
		return 0, err
	}
	_, err = tx.Exec(`DELETE`+those, upload, number)
	return freed, err
}

// dropUploadsTx removes the uploads of a build but the newest, and returns their bytes.
func dropUploadsTx(tx *store.Tx, build store.Key, keep int) (freed int64, err error) {
	keys, err := keysOf(tx, `SELECT key FROM build_upload WHERE build = $1 ORDER BY key DESC`, build)
	if err != nil || len(keys) <= keep {
		return 0, err
	}
	for _, key := range keys[keep:] {
		n, err := dropPartsTx(tx, key, 0)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(`DELETE FROM build_upload WHERE key = $1`, key); err != nil {
			return 0, err
		}
		freed += n
	}
	return freed, nil
}

func keysOf(tx *store.Tx, query string, args ...any) ([]store.Key, error) {
	return store.Column[store.Key](tx.Query(query, args...))
}
