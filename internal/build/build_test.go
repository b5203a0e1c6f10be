package build_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func TestABuildIsCreatedAndUploaded(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		out, err := r.CreateBuild(ctx, &gamelift.CreateBuildInput{
			Name: new("arena"), Version: new("1.0"), OperatingSystem: types.OperatingSystemWindows2022, ServerSdkVersion: new("5.1.2"),
			Tags: []types.Tag{{Key: new("stage"), Value: new("test")}},
		})
		expect.OK(r.t, err)
		b, c := out.Build, out.UploadCredentials
		if !strings.HasPrefix(*b.BuildId, "build-") || *b.BuildArn != "arn:aws:gamelift:us-west-2:123456789012:build/"+*b.BuildId ||
			*b.Name != "arena" || *b.Version != "1.0" || b.Status != types.BuildStatusInitialized || *b.SizeOnDisk != 0 ||
			b.OperatingSystem != types.OperatingSystemWindows2022 || *b.ServerSdkVersion != "5.1.2" || !b.CreationTime.Equal(r.clock.Now()) {
			t.Errorf("build %+v", b)
		}
		if at := out.StorageLocation; *at.Bucket != "matchyard-builds-us-west-2" || *at.Key != "123456789012/"+*b.BuildId || at.RoleArn != nil {
			t.Errorf("storage location %+v", at)
		}
		if len(*c.AccessKeyId) != 20 || len(*c.SecretAccessKey) != 40 || len(*c.SessionToken) < 40 {
			t.Errorf("credentials %d, %d, %d", len(*c.AccessKeyId), len(*c.SecretAccessKey), len(*c.SessionToken))
		}
		tags, err := r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: b.BuildArn})
		if err != nil || len(tags.Tags) != 1 {
			t.Errorf("tags %v, %v", tags, err)
		}

		text := archiveOf("server.exe", "data/map")
		expect.OK(t, r.upload(r.permit(c), text))
		got := r.describe(*b.BuildArn)
		if got.Status != types.BuildStatusReady || *got.SizeOnDisk != int64(len(text)) {
			t.Errorf("uploaded: %s, %d bytes", got.Status, *got.SizeOnDisk)
		}
		whole := r.get(*b.BuildId)
		if whole.Blob == "" || whole.Size != int64(len(text)) || whole.ServerSDK != "5.1.2" || string(whole.ID) != *b.BuildId {
			t.Errorf("%+v", whole)
		}
		if files := r.files(); !slices.Equal(files, []string{whole.Blob}) {
			t.Errorf("files %q", files)
		}

		// The least that can be said.
		out, err = r.CreateBuild(ctx, &gamelift.CreateBuildInput{})
		expect.OK(t, err)
		if b := out.Build; b.Name != nil || b.Version != nil || *b.ServerSdkVersion != "4.0.2" || b.OperatingSystem != types.OperatingSystemAmazonLinux2023 {
			t.Errorf("%+v", b)
		}
	})
}

func TestAFileIsPutOnce(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		id, p := r.create()
		// Two come in at the same time, and one is accepted.
		a, err := r.Slot(ctx, p, 100)
		expect.OK(t, err)
		b, err := r.Slot(ctx, p, 100)
		expect.OK(t, err)
		first, second := r.store(a, archiveOf("a")), r.store(b, archiveOf("b", "c"))
		expect.OK(t, r.Accept(ctx, p, second, patience))
		if err := r.Accept(ctx, p, first, patience); !errors.Is(err, build.ErrAccepted) {
			t.Errorf("the other: %v", err)
		}
		expect.OK(t, r.Discard(ctx, a))
		if f, err := r.File(ctx, p); err != nil || f != second {
			t.Errorf("%+v, %v", f, err)
		}
		if files := r.files(); !slices.Equal(files, []string{b.Blob}) {
			t.Errorf("files %q", files)
		}

		// And nothing more can come.
		if _, err := r.Slot(ctx, p, 1); !errors.Is(err, build.ErrAccepted) {
			t.Errorf("a slot: %v", err)
		}
		if _, err := r.StartUpload(ctx, p, "", false); !errors.Is(err, build.ErrAccepted) {
			t.Errorf("an upload: %v", err)
		}
		_, err = r.RequestUploadCredentials(ctx, &gamelift.RequestUploadCredentialsInput{BuildId: &id})
		expect.Refused(t, "credentials", err, invalid, "BuildId", "READY")
	})
}

func TestAUselessFileFails(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		for text, word := range map[string]string{
			"no zip at all":                "zip",
			string(archiveOf("../escape")): "..",
		} {
			id, p := r.create()
			useless(t, r.upload(p, []byte(text)), word)
			r.status(id, types.BuildStatusFailed)
			if b := r.get(id); !strings.Contains(b.Reason, word) || b.Blob != "" {
				t.Errorf("%+v", b)
			}
			if err := r.upload(p, archiveOf("server")); !errors.Is(err, build.ErrAccepted) {
				t.Errorf("FAILED is not for good: %v", err)
			}
			_, err := r.RequestUploadCredentials(r.t.Context(), &gamelift.RequestUploadCredentialsInput{BuildId: &id})
			expect.Refused(t, "credentials", err, invalid, "FAILED")
		}
		// Windows takes two names for one, and Linux does not.
		out, err := r.CreateBuild(r.t.Context(), &gamelift.CreateBuildInput{OperatingSystem: types.OperatingSystemWindows2016})
		expect.OK(t, err)
		useless(t, r.upload(r.permit(out.UploadCredentials), archiveOf("a", "A")), "case")
		_, p := r.create()
		expect.OK(t, r.upload(p, archiveOf("a", "A")))
		if n := len(r.files()); n != 1 {
			t.Errorf("%d files are left", n)
		}
		if n := r.used("build bytes"); n != int64(len(archiveOf("a", "A"))) {
			t.Errorf("%d bytes are counted", n)
		}
	})
}

// TestACheckThatIsInterrupted: it goes on in the background, on whichever node.
func TestACheckThatIsInterrupted(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		id, p := r.create()
		slot, err := r.Slot(r.t.Context(), p, 1000)
		expect.OK(t, err)
		expect.OK(t, r.Accept(r.t.Context(), p, r.store(slot, archiveOf("server")), -1)) // no patience
		r.status(id, types.BuildStatusInitialized)
		if size := *r.describe(id).SizeOnDisk; size != 0 {
			t.Errorf("%d bytes before it is READY", size)
		}
		_, err = r.RequestUploadCredentials(r.t.Context(), &gamelift.RequestUploadCredentialsInput{BuildId: &id})
		expect.Refused(t, "credentials", err, invalid, "uploaded already")
		r.work()
		r.status(id, types.BuildStatusReady)

		// One that a node took which is gone.
		id, p = r.create()
		slot, err = r.Slot(r.t.Context(), p, 1000)
		expect.OK(t, err)
		expect.OK(t, r.Accept(r.t.Context(), p, r.store(slot, archiveOf("server")), -1))
		r.write(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE build SET worker = 'a node that is gone' WHERE key = $1`, p.Build)
			return err
		})
		r.work()
		r.status(id, types.BuildStatusReady)

		// One that another node is at is left to it.
		id, p = r.create()
		slot, err = r.Slot(r.t.Context(), p, 1000)
		expect.OK(t, err)
		expect.OK(t, r.Accept(r.t.Context(), p, r.store(slot, archiveOf("server")), -1))
		r.write(func(tx *store.Tx) error {
			if _, err := tx.Exec(`INSERT INTO node (id, number, expires_at) VALUES ('another', 999, $1)`, time.Now().Add(time.Hour).UnixMilli()); err != nil {
				return err
			}
			_, err := tx.Exec(`UPDATE build SET worker = 'another' WHERE key = $1`, p.Build)
			return err
		})
		r.work()
		r.status(id, types.BuildStatusInitialized)
	})
}

func TestListBuilds(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		var ids []string
		for i := range 7 {
			if i%3 == 0 {
				ids = append(ids, r.ready())
				continue
			}
			id, _ := r.create()
			ids = append(ids, id)
		}
		list := func(status types.BuildStatus, limit int32) []string {
			var got []string
			for _, b := range walk(t, int(limit), func(token *string) ([]types.Build, *string, error) {
				out, err := r.ListBuilds(ctx, &gamelift.ListBuildsInput{Status: status, Limit: &limit, NextToken: token})
				if err != nil {
					return nil, nil, err
				}
				return out.Builds, out.NextToken, nil
			}) {
				got = append(got, *b.BuildId)
			}
			return got
		}
		for _, limit := range []int32{1, 2, 7, 100} {
			if got := list("", limit); !slices.Equal(got, ids) {
				t.Errorf("by %d: %q, want %q", limit, got, ids)
			}
		}
		if got := list(types.BuildStatusReady, 2); !slices.Equal(got, []string{ids[0], ids[3], ids[6]}) {
			t.Errorf("READY: %q", got)
		}
		if got := list(types.BuildStatusFailed, 2); len(got) != 0 {
			t.Errorf("FAILED: %q", got)
		}
		first, err := r.ListBuilds(ctx, &gamelift.ListBuildsInput{Limit: new(int32(1))})
		expect.OK(t, err)
		_, err = r.ListBuilds(ctx, &gamelift.ListBuildsInput{Status: types.BuildStatusReady, NextToken: first.NextToken})
		expect.Refused(t, "another listing's token", err, invalid, "NextToken")
		_, err = r.ListBuilds(ctx, &gamelift.ListBuildsInput{NextToken: foreignToken()})
		expect.Refused(t, "a foreign token", err, invalid, "NextToken")
	})
}

func TestUpdateBuild(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		id := r.ready()
		before := r.describe(id)
		out, err := r.UpdateBuild(r.t.Context(), &gamelift.UpdateBuildInput{BuildId: &id, Version: new("2")})
		expect.OK(t, err)
		if b := out.Build; *b.Name != *before.Name || *b.Version != "2" || b.Status != before.Status || *b.SizeOnDisk != *before.SizeOnDisk {
			t.Errorf("%+v", b)
		}
		out, err = r.UpdateBuild(r.t.Context(), &gamelift.UpdateBuildInput{BuildId: before.BuildArn, Name: new("yard")})
		if b := r.describe(id); err != nil || *b.Name != "yard" || *b.Version != "2" || *out.Build.Name != "yard" {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

func TestUnknownBuilds(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		id, p := r.create()
		_, err := r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: &id})
		expect.OK(t, err)
		if _, err := r.Slot(ctx, p, 1); !errors.Is(err, build.ErrAccepted) {
			t.Errorf("a slot of a deleted build: %v", err)
		}
		script := "script" + strings.TrimPrefix(id, "build")
		for name, code := range map[string]string{
			unknownBuild: missing, id: missing, "build-x": missing, home.Build(unknownBuild): missing,
			strings.ToUpper(id): invalid, "fleet-1": invalid, script: invalid, home.Script(arn.ScriptID(script)): invalid,
		} {
			_, err := r.DescribeBuild(ctx, &gamelift.DescribeBuildInput{BuildId: &name})
			expect.Refused(t, "describe "+name, err, code, "BuildId")
			_, err = r.UpdateBuild(ctx, &gamelift.UpdateBuildInput{BuildId: &name})
			expect.Refused(t, "update "+name, err, code, "BuildId")
			_, err = r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: &name})
			expect.Refused(t, "delete "+name, err, code, "BuildId")
			_, err = r.RequestUploadCredentials(ctx, &gamelift.RequestUploadCredentialsInput{BuildId: &name})
			expect.Refused(t, "credentials of "+name, err, code, "BuildId")
		}
		_, err = r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: new(home.Build(arn.BuildID(id)))})
		expect.Refused(t, "tags", err, missing)
	})
}

// TestDeletedWhileFleetsHold: the build is gone at once, its file with the last fleet.
func TestDeletedWhileFleetsHold(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		id := r.ready()
		b := r.get(id)
		hold := func(fleet arn.FleetID) error {
			return r.DB.Write(ctx, func(tx *store.Tx) error { return r.HoldTx(tx, b.Key, fleet) })
		}
		release := func(fleet arn.FleetID) {
			r.write(func(tx *store.Tx) error { return r.ReleaseTx(tx, b.Key, fleet) })
		}
		file := func() (f build.File, err error) {
			err = r.DB.Read(ctx, func(tx *store.Tx) (err error) { f, err = r.FileTx(tx, b.Key); return err })
			return f, err
		}
		expect.OK(t, hold("fleet-1"))
		expect.OK(t, hold("fleet-1"))
		expect.OK(t, hold("fleet-2"))
		release("fleet-3")
		_, err := r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: &id})
		expect.OK(t, err)
		_, err = r.DescribeBuild(ctx, &gamelift.DescribeBuildInput{BuildId: &id})
		expect.Refused(t, "describe", err, missing)
		if out, err := r.ListBuilds(ctx, &gamelift.ListBuildsInput{}); err != nil || len(out.Builds) != 0 {
			t.Errorf("listed: %v, %v", out, err)
		}
		expect.Refused(t, "a new fleet", hold("fleet-4"), missing, "BuildId")
		release("fleet-1")
		if f, err := file(); err != nil || f.Blob != b.Blob || f.Size != b.Size {
			t.Errorf("held by one: %+v, %v", f, err)
		}
		if files := r.files(); !slices.Equal(files, []string{b.Blob}) {
			t.Errorf("held by one: %q", files)
		}
		release("fleet-2")
		if _, err := file(); !errors.Is(err, store.ErrNoRows) {
			t.Errorf("released: %v", err)
		}
		if files := r.files(); len(files) != 0 {
			t.Errorf("released: %q", files)
		}
		release("fleet-2")

		// Without fleets the file goes with the build, and a release before changes nothing.
		id = r.ready()
		b = r.get(id)
		expect.OK(t, hold("fleet-1"))
		release("fleet-1")
		if _, err := file(); err != nil {
			t.Error(err)
		}
		_, err = r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: &id})
		expect.OK(t, err)
		if files := r.files(); len(files) != 0 {
			t.Errorf("deleted: %q", files)
		}
		if n, bytes := r.used("build"), r.used("build bytes"); n != 0 || bytes != 0 {
			t.Errorf("%d builds of %d bytes are counted", n, bytes)
		}
	})
}

func TestStorageLocations(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		good := r.source("games", "arena/1.zip", archiveOf("server"))
		out, err := r.CreateBuild(ctx, &gamelift.CreateBuildInput{StorageLocation: good})
		expect.OK(t, err)
		if out.UploadCredentials != nil || *out.StorageLocation.Key != "arena/1.zip" || out.Build.Status != types.BuildStatusInitialized {
			t.Errorf("%+v", out)
		}
		id := *out.Build.BuildId
		_, err = r.RequestUploadCredentials(ctx, &gamelift.RequestUploadCredentialsInput{BuildId: &id})
		expect.Refused(t, "credentials", err, invalid, "storage location")
		r.work()
		r.status(id, types.BuildStatusReady)
		if b := r.describe(id); *b.SizeOnDisk != 0 {
			t.Errorf("size %d, want 0 (hosting.md 1.2)", *b.SizeOnDisk)
		}
		if b := r.get(id); b.Size != int64(len(archiveOf("server"))) || !slices.Equal(r.files(), []string{b.Blob}) {
			t.Errorf("%+v, files %q", b, r.files())
		}

		at := func(change func(at *types.S3Location)) *types.S3Location {
			other := *good
			change(&other)
			return &other
		}
		for _, c := range []struct {
			name string
			at   *types.S3Location
			says string
		}{
			{"no object", at(func(a *types.S3Location) { a.Key = new("arena/2.zip") }), "Provided build is not accessible."},
			{"no bucket", at(func(a *types.S3Location) { a.Bucket = new("other") }), "Provided build is not accessible."},
			{"the way out", at(func(a *types.S3Location) { a.Key = new("../../x") }), "Provided build is not accessible."},
			{"a bucket with a dot", at(func(a *types.S3Location) { a.Bucket = new("my.games") }), "Provided build is not accessible."},
			{"a version", at(func(a *types.S3Location) { a.ObjectVersion = new("7") }), "Provided build is not accessible."},
			{"no role", at(func(a *types.S3Location) { a.RoleArn = nil }), "GameLift cannot assume the role"},
			{"no role's ARN", at(func(a *types.S3Location) { a.RoleArn = new("Builds") }), "GameLift cannot assume the role"},
			{"no key", at(func(a *types.S3Location) { a.Key = nil }), "Key"},
			{"nothing", &types.S3Location{}, "Bucket"},
		} {
			_, err := r.CreateBuild(ctx, &gamelift.CreateBuildInput{StorageLocation: c.at})
			expect.Refused(t, c.name, err, invalid, "StorageLocation", c.says)
		}

		// What is there and of no use is seen by the status.
		out, err = r.CreateBuild(ctx, &gamelift.CreateBuildInput{StorageLocation: r.source("games", "text.zip", []byte("text"))})
		expect.OK(t, err)
		r.work()
		r.status(*out.Build.BuildId, types.BuildStatusFailed)

		// One that is deleted before its file is fetched leaves nothing.
		out, err = r.CreateBuild(ctx, &gamelift.CreateBuildInput{StorageLocation: good})
		expect.OK(t, err)
		_, err = r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: out.Build.BuildId})
		expect.OK(t, err)
		r.work()
		if files := r.files(); len(files) != 1 {
			t.Errorf("files %q", files)
		}

		r.Sources = nil
		_, err = r.CreateBuild(ctx, &gamelift.CreateBuildInput{StorageLocation: good})
		expect.Refused(t, "without a store", err, invalid, "Provided build is not accessible.", "build-sources")
	})
}

// TestASourceThatIsGone: the file went between the call and the fetching.
func TestASourceThatIsGone(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		out, err := r.CreateBuild(r.t.Context(), &gamelift.CreateBuildInput{StorageLocation: r.source("games", "a.zip", archiveOf("a"))})
		expect.OK(t, err)
		r.Sources = nil
		r.work()
		r.status(*out.Build.BuildId, types.BuildStatusFailed)
		if b := r.get(*out.Build.BuildId); !strings.Contains(b.Reason, "cannot be read") {
			t.Errorf("reason %q", b.Reason)
		}
	})
}

func TestQuotas(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		text := archiveOf("server")
		size := int64(len(text))
		r.Config = build.Config{Builds: 3, BuildBytes: 2*size + 10}
		var ids []string
		var permits []build.Permit
		for range 3 {
			id, p := r.create()
			ids, permits = append(ids, id), append(permits, p)
		}
		_, err := r.CreateBuild(ctx, &gamelift.CreateBuildInput{})
		expect.Refused(t, "a fourth build", err, invalid, "quota of 3", "builds")
		expect.OK(t, r.upload(permits[0], text))
		expect.OK(t, r.upload(permits[1], text))
		var over *build.QuotaError
		if _, err := r.Slot(ctx, permits[2], size); !errors.As(err, &over) {
			t.Errorf("a third file: %v", err)
		}
		slot, err := r.Slot(ctx, permits[2], 1)
		expect.OK(t, err)
		if err := r.Accept(ctx, permits[2], r.store(slot, text), patience); !errors.As(err, &over) {
			t.Errorf("a third file that lied: %v", err)
		}
		r.status(ids[2], types.BuildStatusInitialized)

		// Parts count too.
		u, err := r.StartUpload(ctx, permits[2], "", false)
		expect.OK(t, err)
		r.part(permits[2], u, 1, "12345678")
		if _, _, err := r.PartSlot(ctx, permits[2], u.ID, 3); !errors.As(err, &over) {
			t.Errorf("a part: %v", err)
		}
		r.part(permits[2], u, 1, "12")
		r.part(permits[2], u, 2, "12345678")
		expect.OK(t, r.Abort(ctx, permits[2], u.ID))
		if n := r.used("build bytes"); n != 2*size {
			t.Errorf("%d bytes are counted, want %d", n, 2*size)
		}

		_, err = r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: &ids[0]})
		expect.OK(t, err)
		expect.OK(t, r.upload(permits[2], text))
		_, err = r.CreateBuild(ctx, &gamelift.CreateBuildInput{})
		expect.OK(t, err)
	})
}

func TestTagsThatFail(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		var tags []types.Tag
		for i := range 51 {
			tags = append(tags, types.Tag{Key: new(fmt.Sprint(i)), Value: new("")})
		}
		_, err := r.CreateBuild(r.t.Context(), &gamelift.CreateBuildInput{Tags: tags})
		expect.Refused(t, "51 tags", err, tagging, "Tags")
		if out, err := r.ListBuilds(r.t.Context(), &gamelift.ListBuildsInput{}); err != nil || len(out.Builds) != 0 || r.used("build") != 0 {
			t.Errorf("%v, %v", out, err)
		}
	})
}

func TestCredentials(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		id, first := r.create()
		request := func(id string) *types.AwsCredentials {
			out, err := r.RequestUploadCredentials(ctx, &gamelift.RequestUploadCredentialsInput{BuildId: &id})
			expect.OK(t, err)
			if *out.StorageLocation.Bucket != *first.Object.Bucket || !strings.HasSuffix(*out.StorageLocation.Key, "/"+id) {
				t.Errorf("storage location %+v", out.StorageLocation)
			}
			return out.UploadCredentials
		}
		c := request(id)
		p := r.permit(c)
		if p.Build != first.Build || string(p.ID) != id || *p.Object.Key != *first.Object.Key || p.Secret == first.Secret || p.Expired {
			t.Errorf("%+v, and before %+v", p, first)
		}
		other, _ := r.create()
		if q := r.permit(request(other)); q.Build == p.Build || *q.Object.Key == *p.Object.Key {
			t.Errorf("another build's: %+v", q)
		}
		for _, pair := range [][2]string{
			{*c.AccessKeyId, ""},
			{*c.AccessKeyId, "x"},
			{*c.AccessKeyId, *request(id).SessionToken},
			{"ASIA0000000000000000", *c.SessionToken},
			{"AKIA0000000000000000", ""},
			{"", ""},
			{"ASIA", ""},
		} {
			if _, err := r.Permit(ctx, pair[0], pair[1]); !errors.Is(err, build.ErrUnknownKey) {
				t.Errorf("%q: %v", pair, err)
			}
		}

		// The database knows neither the secret nor the token.
		expect.OK(t, r.DB.Read(ctx, func(tx *store.Tx) error {
			var secret, sum string
			err := tx.QueryRow(`SELECT secret, token_sum FROM build_credential WHERE id = $1`, *c.AccessKeyId).Scan(&secret, &sum)
			if strings.Contains(secret+sum, *c.SecretAccessKey) || strings.Contains(secret+sum, *c.SessionToken) {
				t.Error("a secret is stored as it is")
			}
			return err
		}))

		// They expire, and are forgotten.
		r.clock.Advance(3*time.Hour - time.Second)
		if r.permit(c).Expired {
			t.Error("expired too early")
		}
		r.clock.Advance(time.Second)
		if !r.permit(c).Expired {
			t.Error("not expired")
		}
		expect.OK(t, r.Tick(ctx, r.clock.Now()))
		if _, err := r.Permit(ctx, *c.AccessKeyId, *c.SessionToken); !errors.Is(err, build.ErrUnknownKey) {
			t.Errorf("after the sweep: %v", err)
		}

		// Many make the oldest ones go, and the build takes all with it.
		c = request(id)
		for range 9 {
			request(id)
		}
		r.permit(c)
		last := request(id)
		if _, err := r.Permit(ctx, *c.AccessKeyId, *c.SessionToken); !errors.Is(err, build.ErrUnknownKey) {
			t.Errorf("the eleventh last: %v", err)
		}
		_, err := r.DeleteBuild(ctx, &gamelift.DeleteBuildInput{BuildId: &id})
		expect.OK(t, err)
		if _, err := r.Permit(ctx, *last.AccessKeyId, *last.SessionToken); !errors.Is(err, build.ErrUnknownKey) {
			t.Errorf("of a deleted build: %v", err)
		}
	})
}

func TestUploadsInParts(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		id, p := r.create()
		_, other := r.create()
		u, err := r.StartUpload(ctx, p, "CRC32", true)
		expect.OK(t, err)
		text := archiveOf("server", "map")
		r.part(p, u, 2, string(text[100:]))
		r.part(p, u, 1, "wrong")
		r.part(p, u, 1, string(text[:100]))
		got, parts, err := r.Parts(ctx, p, u.ID)
		expect.OK(t, err)
		if got != u || len(parts) != 2 || parts[0].Number != 1 || parts[0].Size != 100 || parts[1].Size != int64(len(text)-100) {
			t.Errorf("%+v %+v", got, parts)
		}
		if _, _, err := r.Parts(ctx, other, u.ID); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("another's upload: %v", err)
		}
		if err := r.Abort(ctx, other, u.ID); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("another's upload: %v", err)
		}
		if n := len(r.files()); n != 2 {
			t.Errorf("%d files, want 2 parts", n)
		}

		slot, err := r.AssemblySlot(ctx, p, u.ID)
		expect.OK(t, err)
		expect.OK(t, r.Complete(ctx, p, u.ID, r.store(slot, text), patience))
		r.status(id, types.BuildStatusReady)
		if files := r.files(); !slices.Equal(files, []string{slot.Blob}) || r.used("build bytes") != int64(len(text)) {
			t.Errorf("files %q, %d bytes", files, r.used("build bytes"))
		}
		got, parts, err = r.Parts(ctx, p, u.ID)
		if err != nil || got.Done == "" || len(parts) != 0 {
			t.Errorf("once more: %+v, %v, %v", got, parts, err)
		}
		if _, err := r.AssemblySlot(ctx, p, u.ID); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("completed twice: %v", err)
		}
		if _, _, err := r.PartSlot(ctx, p, u.ID, 1); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("a part after the end: %v", err)
		}
		r.clock.Advance(time.Hour)
		expect.OK(t, r.Tick(ctx, r.clock.Now()))
		if _, _, err := r.Parts(ctx, p, u.ID); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("much later: %v", err)
		}
	})
}

func TestUploadsThatNobodyEnds(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		_, p := r.create()
		var uploads []build.Upload
		for i := range 5 {
			u, err := r.StartUpload(ctx, p, "", false)
			expect.OK(t, err)
			r.part(p, u, 1, strings.Repeat("x", i+1))
			uploads = append(uploads, u)
		}
		if _, _, err := r.Parts(ctx, p, uploads[0].ID); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("the oldest of five: %v", err)
		}
		if n, bytes := len(r.files()), r.used("build bytes"); n != 4 || bytes != 2+3+4+5 {
			t.Errorf("%d files, %d bytes", n, bytes)
		}
		at, ok, err := r.Due(ctx)
		if err != nil || !ok || at.Sub(r.clock.Now()) != 3*time.Hour { // the credential
			t.Errorf("due in %s, %v, %v", at.Sub(r.clock.Now()), ok, err)
		}
		r.clock.Advance(7 * 24 * time.Hour)
		if n, bytes := len(r.files()), r.used("build bytes"); n != 0 || bytes != 0 {
			t.Errorf("after a week: %d files, %d bytes", n, bytes)
		}
		if _, ok, err := r.Due(ctx); ok || err != nil {
			t.Errorf("still due: %v, %v", ok, err)
		}

		// A writer that vanished leaves its slot to the sweep, also when it comes back.
		slot, err := r.Slot(ctx, p, 10)
		expect.OK(t, err)
		f := r.store(slot, archiveOf("a"))
		if n := len(r.files()); n != 1 {
			t.Errorf("%d files", n)
		}
		r.clock.Advance(24 * time.Hour)
		if err := r.Accept(ctx, p, f, patience); !errors.Is(err, build.ErrNoUpload) {
			t.Errorf("accepted too late: %v", err)
		}
		if n := len(r.files()); n != 0 {
			t.Errorf("%d files", n)
		}
	})
}

// TestWhatIsInUseIsNotSwept: an acceptance whose answer was lost is discarded by its writer,
// and stays.
func TestWhatIsInUseIsNotSwept(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		id := r.ready()
		expect.OK(t, r.Discard(r.t.Context(), build.Slot{Blob: r.get(id).Blob}))
		if n := len(r.files()); n != 1 {
			t.Errorf("%d files", n)
		}
	})
}

// TestConcurrentUploads: of many files for one build one is accepted, and only that stays.
func TestConcurrentUploads(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		id, p := r.create()
		var all sync.WaitGroup
		var mu sync.Mutex
		accepted := 0
		var files []build.Stored
		for i := range 8 {
			text := archiveOf(fmt.Sprint(i), strings.Repeat("x", i+1))
			slot, err := r.Slot(r.t.Context(), p, int64(len(text)))
			expect.OK(t, err)
			files = append(files, r.store(slot, text))
		}
		for _, f := range files {
			all.Go(func() {
				err := r.Accept(context.WithoutCancel(r.t.Context()), p, f, patience)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					accepted++
				case !errors.Is(err, build.ErrAccepted):
					t.Error(err)
				default:
					if err := r.Discard(r.t.Context(), f.Slot); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		r.status(id, types.BuildStatusReady)
		b := r.get(id)
		if files := r.files(); accepted != 1 || !slices.Equal(files, []string{b.Blob}) || r.used("build bytes") != b.Size {
			t.Errorf("%d accepted, files %q, %d bytes of %d", accepted, files, r.used("build bytes"), b.Size)
		}
	})
}

func TestLinkSecret(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		first, err := r.LinkSecret(t.Context())
		expect.OK(t, err)
		again, err := (&build.Service{DB: r.DB}).LinkSecret(t.Context())
		if err != nil || len(first) != 32 || !slices.Equal(first, again) {
			t.Errorf("%x and %x, %v", first, again, err)
		}
	})
}
