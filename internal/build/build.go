package build

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
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

const (
	listPage = 100 // default and most, of builds and of scripts

	defaultServerSDK = "4.0.2"                              // hosting.md 1.2
	defaultOS        = types.OperatingSystemAmazonLinux2023 // the model says there is none, and no tool minds
)

// CreateBuild makes a build. Without a StorageLocation its file is uploaded by the
// credentials and to the place in the answer. With one, the file is fetched from there:
// what cannot be read is refused at once, in the words that tools wait on, and the rest is
// seen by the build's status (hosting.md 1.2).
func (s *Service) CreateBuild(ctx context.Context, in *gamelift.CreateBuildInput) (*gamelift.CreateBuildOutput, error) {
	b := Build{
		Name: in.Name, Version: in.Version, Status: types.BuildStatusInitialized,
		OS: in.OperatingSystem, ServerSDK: defaultServerSDK, source: in.StorageLocation,
	}
	if b.OS == "" {
		b.OS = defaultOS
	}
	if in.ServerSdkVersion != nil {
		b.ServerSDK = *in.ServerSdkVersion
	}
	if b.source != nil {
		if err := s.accessible(ctx, b.source, "build"); err != nil {
			return nil, err
		}
	}
	out := &gamelift.CreateBuildOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		tail := store.Tail()
		b.Key, b.CreatedAt = tx.NewKey(), tx.Now
		b.ID = buildID(b.Key, tail)
		if err := insertBuild(tx, b, tail); err != nil {
			return err
		}
		if b.source == nil {
			c, err := s.issueTx(tx, b)
			if err != nil {
				return err
			}
			out.UploadCredentials = c
		} else {
			tx.Notify(Channel, string(b.ID))
		}
		if err := s.Tags.SetTx(tx, s.Home.Build(b.ID), in.Tags); err != nil {
			return err
		}
		return s.takeTx(tx, quotaBuilds, 1)
	})
	if err != nil {
		return nil, asRequest(err)
	}
	out.Build, out.StorageLocation = new(s.buildModel(b)), b.source
	if b.source == nil {
		out.StorageLocation = s.objectOf(string(b.ID))
	}
	return out, nil
}

// DescribeBuild shows a build.
func (s *Service) DescribeBuild(ctx context.Context, in *gamelift.DescribeBuildInput) (*gamelift.DescribeBuildOutput, error) {
	var b Build
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		b, err = s.GetTx(tx, *in.BuildId)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DescribeBuildOutput{Build: new(s.buildModel(b))}, nil
}

// ListBuilds lists builds, oldest first: all, or those of a status.
func (s *Service) ListBuilds(ctx context.Context, in *gamelift.ListBuildsInput) (*gamelift.ListBuildsOutput, error) {
	var after store.Key
	if _, err := page.Decode("ListBuilds", in.Status, in.NextToken, &after); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, listPage, listPage)
	var out *gamelift.ListBuildsOutput
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out = &gamelift.ListBuildsOutput{Builds: []types.Build{}}
		where, args := `WHERE key > $1 AND deleted_at IS NULL`, []any{after, size + 1}
		if in.Status != "" {
			where, args = where+` AND status = $3`, append(args, string(in.Status))
		}
		list, err := store.All(scanBuild)(tx.Query(`SELECT `+buildColumns+` FROM build `+where+` ORDER BY key LIMIT $2`, args...))
		list, out.NextToken = page.Cut(list, size, func(b Build) string { return page.Encode("ListBuilds", in.Status, b.Key) })
		for _, b := range list {
			out.Builds = append(out.Builds, s.buildModel(b))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateBuild changes the name and the version, those that are given.
func (s *Service) UpdateBuild(ctx context.Context, in *gamelift.UpdateBuildInput) (*gamelift.UpdateBuildOutput, error) {
	var b Build
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if b, err = buildOf(tx, *in.BuildId, tx.ForUpdate()); err != nil {
			return err
		}
		if in.Name != nil {
			b.Name = in.Name
		}
		if in.Version != nil {
			b.Version = in.Version
		}
		_, err = tx.Exec(`UPDATE build SET name = $2, version = $3 WHERE key = $1`, b.Key, b.Name, b.Version)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UpdateBuildOutput{Build: new(s.buildModel(b))}, nil
}

// DeleteBuild removes a build, its upload credentials and what was uploaded in parts, and its
// file unless fleets hold it: they keep running, and new ones cannot be made (hosting.md 1.5).
func (s *Service) DeleteBuild(ctx context.Context, in *gamelift.DeleteBuildInput) (*gamelift.DeleteBuildOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		b, err := buildOf(tx, *in.BuildId, tx.ForUpdate())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE build SET deleted_at = $2, work = 0 WHERE key = $1`, b.Key, tx.NowMs()); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM build_credential WHERE build = $1`, b.Key); err != nil {
			return err
		}
		parts, err := dropUploadsTx(tx, b.Key, 0)
		if err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, s.Home.Build(b.ID)); err != nil {
			return err
		}
		if err := s.dropTx(tx, b); err != nil {
			return err
		}
		if err := giveTx(tx, quotaBuilds, 1); err != nil {
			return err
		}
		return giveTx(tx, quotaBuildBytes, b.Size+parts)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteBuildOutput{}, nil
}

// RequestUploadCredentials gives new keys for the file of a build that has none yet. Those
// given before stay good until they expire.
func (s *Service) RequestUploadCredentials(ctx context.Context, in *gamelift.RequestUploadCredentialsInput) (*gamelift.RequestUploadCredentialsOutput, error) {
	var b Build
	out := &gamelift.RequestUploadCredentialsOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if b, err = buildOf(tx, *in.BuildId, tx.ForUpdate()); err != nil {
			return err
		}
		switch {
		case b.source != nil:
			return apierr.InvalidRequest("BuildId: the file of build %s comes from the caller's own storage location", b.ID)
		case b.Status != types.BuildStatusInitialized || b.Blob != "":
			return apierr.InvalidRequest("BuildId: build %s is %s, and its file was uploaded already", b.ID, b.Status)
		}
		out.UploadCredentials, err = s.issueTx(tx, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.StorageLocation = s.objectOf(string(b.ID))
	return out, nil
}

// ExistsTx tells whether a resource of this room that may have tags is there.
func (s *Service) ExistsTx(tx *store.Tx, kind, id string) (bool, error) {
	var err error
	switch kind {
	case "build":
		var b Build
		if b, err = buildByID(tx, arn.BuildID(id), ""); err == nil && b.deleted {
			return false, nil
		}
	case "script":
		_, err = scriptByID(tx, arn.ScriptID(id), "")
	default:
		return false, nil
	}
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Bucket is the bucket that uploads go to.
func (s *Service) Bucket() string { return "matchyard-builds-" + s.Home.Region }

// objectOf is where the file of an id is, in S3's terms.
func (s *Service) objectOf(id string) *types.S3Location {
	return &types.S3Location{Bucket: new(s.Bucket()), Key: new(s.Home.Account + "/" + id)}
}

// buildModel is a build as callers see it. Its size is that of an upload: a file from the
// caller's own location has none (hosting.md 1.2).
func (s *Service) buildModel(b Build) types.Build {
	m := types.Build{
		BuildId:          new(string(b.ID)),
		BuildArn:         new(s.Home.Build(b.ID)),
		Name:             b.Name,
		Version:          b.Version,
		Status:           b.Status,
		OperatingSystem:  b.OS,
		ServerSdkVersion: new(b.ServerSDK),
		SizeOnDisk:       new(b.Size),
		CreationTime:     new(b.CreatedAt),
	}
	if b.source != nil || b.Status == types.BuildStatusInitialized {
		m.SizeOnDisk = new(int64(0))
	}
	return m
}

const buildPrefix = "build-"

func buildID(key store.Key, tail int64) arn.BuildID {
	return arn.BuildID(buildPrefix + key.UUID(tail))
}

// GetTx is the build that an id or ARN names. An unknown one is a NotFoundException, also
// when it is deleted and fleets still hold its file. Its status is not looked at.
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
