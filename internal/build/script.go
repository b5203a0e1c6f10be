package build

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/archive"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// Script is a Realtime script as other rooms see it. It has no status: it can be used at
// once.
type Script struct {
	Key       store.Key
	ID        arn.ScriptID
	Name      *string
	Version   *string
	NodeJS    string // as in "10.x"
	Size      int64  // of the file, in bytes
	Blob      string // the file's key in the blob store; another one after each change
	CreatedAt time.Time

	source *types.S3Location // the caller's own storage location
}

const (
	node10 = "10.x" // the default
	node24 = "24.x"

	maxZipFile = 5_000_000 // bytes, not characters of base64
	// oldScriptKept is how long the file of a script stays when there is a newer one: hosts
	// may be about to fetch it.
	oldScriptKept = time.Hour
)

// CreateScript makes a script of a zip file in the request or in the caller's own storage
// location: one of the two (hosting.md 1.6). It can be used when the call returns.
func (s *Service) CreateScript(ctx context.Context, in *gamelift.CreateScriptInput) (*gamelift.CreateScriptOutput, error) {
	c := Script{Name: in.Name, Version: in.Version, NodeJS: node10, source: in.StorageLocation}
	if in.NodeJsVersion != nil {
		c.NodeJS = *in.NodeJsVersion
	}
	if c.NodeJS != node10 && c.NodeJS != node24 {
		return nil, apierr.InvalidRequest("NodeJsVersion: %q is neither %s nor %s", c.NodeJS, node10, node24)
	}
	if in.StorageLocation == nil && len(in.ZipFile) == 0 {
		return nil, apierr.InvalidRequest("ZipFile: a script needs a ZipFile or a StorageLocation")
	}
	err := s.withContent(ctx, &c, in.ZipFile, in.StorageLocation, func(tx *store.Tx) error {
		tail := store.Tail()
		c.Key, c.CreatedAt = tx.NewKey(), tx.Now
		c.ID = scriptID(c.Key, tail)
		source, err := writeLocation(c.source)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO script (key, tail, name, version, node_js, source, blob, size, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			c.Key, tail, c.Name, c.Version, c.NodeJS, source, c.Blob, c.Size, tx.NowMs())
		if err != nil {
			return err
		}
		if err := s.Tags.SetTx(tx, s.Home.Script(c.ID), in.Tags); err != nil {
			return err
		}
		if err := s.takeTx(tx, quotaScripts, 1); err != nil {
			return err
		}
		return s.takeTx(tx, quotaScriptBytes, c.Size)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateScriptOutput{Script: new(s.scriptModel(c))}, nil
}

// DescribeScript shows a script.
func (s *Service) DescribeScript(ctx context.Context, in *gamelift.DescribeScriptInput) (*gamelift.DescribeScriptOutput, error) {
	var c Script
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		c, err = s.ScriptTx(tx, *in.ScriptId)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DescribeScriptOutput{Script: new(s.scriptModel(c))}, nil
}

// ListScripts lists all scripts, oldest first.
func (s *Service) ListScripts(ctx context.Context, in *gamelift.ListScriptsInput) (*gamelift.ListScriptsOutput, error) {
	var after store.Key
	if _, err := page.Decode("ListScripts", nil, in.NextToken, &after); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, listPage, listPage)
	var out *gamelift.ListScriptsOutput
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out = &gamelift.ListScriptsOutput{Scripts: []types.Script{}}
		list, err := store.All(scanScript)(tx.Query(`SELECT `+scriptColumns+` FROM script WHERE key > $1 ORDER BY key LIMIT $2`, after, size+1))
		list, out.NextToken = page.Cut(list, size, func(c Script) string { return page.Encode("ListScripts", nil, c.Key) })
		for _, c := range list {
			out.Scripts = append(out.Scripts, s.scriptModel(c))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateScript changes the name, the version and the content, those that are given. Game
// sessions that run keep the old content.
func (s *Service) UpdateScript(ctx context.Context, in *gamelift.UpdateScriptInput) (*gamelift.UpdateScriptOutput, error) {
	var c, content Script
	err := s.withContent(ctx, &content, in.ZipFile, in.StorageLocation, func(tx *store.Tx) (err error) {
		if c, err = scriptOf(tx, *in.ScriptId, tx.ForUpdate()); err != nil {
			return err
		}
		if in.Name != nil {
			c.Name = in.Name
		}
		if in.Version != nil {
			c.Version = in.Version
		}
		more := int64(0)
		if content.Blob != "" {
			if err := trashTx(tx, c.Blob, tx.Now.Add(oldScriptKept)); err != nil {
				return err
			}
			more = content.Size - c.Size
			c.Blob, c.Size, c.source = content.Blob, content.Size, in.StorageLocation
		}
		source, err := writeLocation(c.source)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE script SET name = $2, version = $3, source = $4, blob = $5, size = $6 WHERE key = $1`,
			c.Key, c.Name, c.Version, source, c.Blob, c.Size); err != nil {
			return err
		}
		return s.takeTx(tx, quotaScriptBytes, more)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UpdateScriptOutput{Script: new(s.scriptModel(c))}, nil
}

// DeleteScript removes a script and its file, but not the caller's own. Fleets do not keep
// it from going: hosts that find it gone stop hosting (hosting.md 1.6).
func (s *Service) DeleteScript(ctx context.Context, in *gamelift.DeleteScriptInput) (*gamelift.DeleteScriptOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		c, err := scriptOf(tx, *in.ScriptId, tx.ForUpdate())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM script WHERE key = $1`, c.Key); err != nil {
			return err
		}
		if err := trashTx(tx, c.Blob, tx.Now); err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, s.Home.Script(c.ID)); err != nil {
			return err
		}
		if err := giveTx(tx, quotaScripts, 1); err != nil {
			return err
		}
		return giveTx(tx, quotaScriptBytes, c.Size)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteScriptOutput{}, nil
}

// withContent puts a script's content into the store, looks through it, and then runs f in
// the transaction that takes it; c has its file then. Without content only f runs.
func (s *Service) withContent(ctx context.Context, c *Script, zip []byte, at *types.S3Location, f func(tx *store.Tx) error) error {
	if len(zip) == 0 && at == nil {
		return asRequest(s.DB.Write(ctx, f))
	}
	slot := Slot{"scripts/" + rand.Text()}
	err := s.store(ctx, c, slot, zip, at)
	if err == nil {
		err = s.DB.Write(ctx, func(tx *store.Tx) error {
			if err := keepTx(tx, slot); err != nil {
				return err
			}
			return f(tx)
		})
	}
	if err != nil {
		_ = s.Discard(context.WithoutCancel(ctx), slot) // else it goes when its time is over
		return asRequest(err)
	}
	return nil
}

func (s *Service) store(ctx context.Context, c *Script, slot Slot, zip []byte, at *types.S3Location) (err error) {
	c.Blob = slot.Blob
	switch {
	case len(zip) > 0 && at != nil:
		return apierr.InvalidRequest("ZipFile: a script has a ZipFile or a StorageLocation, not both")
	case len(zip) > maxZipFile:
		return apierr.InvalidRequest("ZipFile: it has %d bytes, and %d is the most", len(zip), maxZipFile)
	case at != nil:
		if err := s.accessible(ctx, at, "resource"); err != nil {
			return err
		}
		if c.Size, err = s.copyIn(ctx, at, slot, quotaScriptBytes); err != nil {
			return err
		}
	default:
		c.Size = int64(len(zip))
		err := s.DB.Write(ctx, func(tx *store.Tx) error { return trashTx(tx, slot.Blob, tx.Now.Add(slotLife)) })
		if err != nil {
			return err
		}
		if err := s.Blobs.Put(ctx, slot.Blob, bytes.NewReader(zip), c.Size); err != nil {
			return err
		}
	}
	err = s.look(ctx, slot.Blob, archive.Limits{})
	if refused, ok := errors.AsType[*archive.Refused](err); ok {
		if at != nil {
			return apierr.InvalidRequest("StorageLocation: %s", refused.Reason)
		}
		return apierr.InvalidRequest("ZipFile: %s (the AWS CLI takes a file with fileb://)", refused.Reason)
	}
	return err
}

// scriptModel is a script as callers see it.
func (s *Service) scriptModel(c Script) types.Script {
	m := types.Script{
		ScriptId:        new(string(c.ID)),
		ScriptArn:       new(s.Home.Script(c.ID)),
		Name:            c.Name,
		Version:         c.Version,
		NodeJsVersion:   new(c.NodeJS),
		SizeOnDisk:      new(c.Size),
		CreationTime:    new(c.CreatedAt),
		StorageLocation: s.objectOf(string(c.ID) + "/" + strings.TrimPrefix(c.Blob, "scripts/")),
	}
	if c.source != nil {
		m.SizeOnDisk, m.StorageLocation = new(int64(0)), c.source
	}
	return m
}

const scriptPrefix = "script-"

func scriptID(key store.Key, tail int64) arn.ScriptID {
	return arn.ScriptID(scriptPrefix + key.UUID(tail))
}

// OS is what a Realtime fleet of the script runs on (hosting.md 1.6).
func (c Script) OS() types.OperatingSystem {
	if c.NodeJS == node10 {
		return types.OperatingSystemAmazonLinux2
	}
	return types.OperatingSystemAmazonLinux2023
}

// ScriptTx is the script that an id or ARN names. An unknown one is a NotFoundException.
func (s *Service) ScriptTx(tx *store.Tx, idOrARN string) (Script, error) {
	return scriptOf(tx, idOrARN, "")
}

// scriptOf is ScriptTx, with a lock on the row.
func scriptOf(tx *store.Tx, idOrARN, lock string) (Script, error) {
	id, err := arn.ParseScript(idOrARN)
	if err != nil {
		return Script{}, apierr.InvalidRequest("ScriptId: %v", err)
	}
	c, err := scriptByID(tx, id, lock)
	if errors.Is(err, store.ErrNoRows) {
		return Script{}, apierr.NotFound("ScriptId: script %s does not exist", id)
	}
	return c, err
}

func scriptByID(tx *store.Tx, id arn.ScriptID, lock string) (Script, error) {
	uuid, ok := strings.CutPrefix(string(id), scriptPrefix)
	key, tail, err := store.ParseUUID(uuid)
	if err != nil || !ok {
		return Script{}, store.ErrNoRows
	}
	return scanScript(tx.QueryRow(`SELECT `+scriptColumns+` FROM script WHERE key = $1 AND tail = $2`+lock, key, tail))
}

const scriptColumns = `key, tail, name, version, node_js, source, blob, size, created_at`

func scanScript(r store.Scanner) (Script, error) {
	var c Script
	var tail, created int64
	var source *string
	if err := r.Scan(&c.Key, &tail, &c.Name, &c.Version, &c.NodeJS, &source, &c.Blob, &c.Size, &created); err != nil {
		return c, err
	}
	c.ID, c.CreatedAt = scriptID(c.Key, tail), time.UnixMilli(created).UTC()
	var err error
	c.source, err = readLocation(source)
	return c, err
}
