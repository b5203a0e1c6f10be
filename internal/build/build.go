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

// Build is a build as other rooms see it.
type Build struct {
	Key       store.Key
	ID        arn.BuildID
	Name      *string
	Version   *string
	Status    types.BuildStatus
	OS        types.OperatingSystem
	ServerSDK string // as in "5.0.0"
	Size      int64  // of the file, in bytes; 0 until there is one
	Blob      string // the file's key in the blob store; "" until there is one
	Reason    string // why it is FAILED, for people
	CreatedAt time.Time

	source  *types.S3Location // the caller's own storage location
	etag    string
	deleted bool
}

const buildPrefix = "build-"

func buildID(key store.Key, tail int64) arn.BuildID {
	return arn.BuildID(buildPrefix + key.UUID(tail))
}

// GetTx is the build that an id or ARN names.
// An unknown one is a NotFoundException, also when it is deleted and fleets still hold its
// file. Its status is not looked at.
func (s *Service) GetTx(tx *store.Tx, idOrARN string) (Build, error) {
	return buildOf(tx, idOrARN, "")
}

// buildOf is GetTx, with a lock on the row.
func buildOf(tx *store.Tx, idOrARN, lock string) (Build, error) {
	id, err := arn.ParseBuild(idOrARN)
	if err != nil {
		return Build{}, apierr.InvalidRequest("BuildId: %v", err)
	}
	b, err := buildByID(tx, id, lock)
	if errors.Is(err, store.ErrNoRows) || err == nil && b.deleted {
		return Build{}, apierr.NotFound("BuildId: build %s does not exist", id)
	}
	return b, err
}

func buildByID(tx *store.Tx, id arn.BuildID, lock string) (Build, error) {
	uuid, ok := strings.CutPrefix(string(id), buildPrefix)
	key, tail, err := store.ParseUUID(uuid)
	if err != nil || !ok {
		return Build{}, store.ErrNoRows
	}
	return scanBuild(tx.QueryRow(`SELECT `+buildColumns+` FROM build WHERE key = $1 AND tail = $2`+lock, key, tail))
}
