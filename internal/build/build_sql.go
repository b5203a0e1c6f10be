package build

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/store"
)

const buildColumns = `key, tail, name, version, status, os, sdk, source, blob, size, etag, reason, created_at, deleted_at`

// row is what a row of one query or of many can do.
func scanBuild(r store.Scanner) (Build, error) {
	var b Build
	var tail, created int64
	var source, file, etag, reason *string
	var deleted *int64
	err := r.Scan(&b.Key, &tail, &b.Name, &b.Version, &b.Status, &b.OS, &b.ServerSDK, &source, &file, &b.Size, &etag, &reason, &created, &deleted)
	if err != nil {
		return b, err
	}
	b.ID, b.CreatedAt, b.deleted = buildID(b.Key, tail), time.UnixMilli(created).UTC(), deleted != nil
	b.Blob, b.etag, b.Reason = text(file), text(etag), text(reason)
	b.source, err = readLocation(source)
	return b, err
}

func buildByKey(tx *store.Tx, key store.Key, lock string) (Build, error) {
	return scanBuild(tx.QueryRow(`SELECT `+buildColumns+` FROM build WHERE key = $1`+lock, key))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func readLocation(text *string) (*types.S3Location, error) {
	if text == nil {
		return nil, nil
	}
	at := &types.S3Location{}
	if err := json.Unmarshal([]byte(*text), at); err != nil {
		return nil, fmt.Errorf("storage location: %w", err)
	}
	return at, nil
}

func writeLocation(at *types.S3Location) (*string, error) {
	if at == nil {
		return nil, nil
	}
	text, err := json.Marshal(at)
	return new(string(text)), err
}

func insertBuild(tx *store.Tx, b Build, tail int64) error {
	source, err := writeLocation(b.source)
	if err != nil {
		return err
	}
	work := 0
	if source != nil {
		work = 1
	}
	_, err = tx.Exec(`INSERT INTO build (key, tail, name, version, status, os, sdk, source, size, work, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10)`,
		b.Key, tail, b.Name, b.Version, string(b.Status), string(b.OS), b.ServerSDK, source, work, tx.NowMs())
	return err
}
