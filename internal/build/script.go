package build

import (
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
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

const node10 = "10.x" // the default

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

func scanScript(r row) (Script, error) {
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
