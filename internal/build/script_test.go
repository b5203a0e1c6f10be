package build_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/expect"
	"github.com/matchyard/matchyard/internal/store"
)

func (r *room) script(in *gamelift.CreateScriptInput) *types.Script {
	r.t.Helper()
	out, err := r.CreateScript(r.t.Context(), in)
	expect.OK(r.t, err)
	return out.Script
}

func (r *room) getScript(id string) (c build.Script) {
	r.t.Helper()
	expect.OK(r.t, r.DB.Read(r.t.Context(), func(tx *store.Tx) (err error) {
		c, err = r.ScriptTx(tx, id)
		return err
	}))
	return c
}

func TestScripts(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		text := archiveOf("index.js")
		c := r.script(&gamelift.CreateScriptInput{Name: new("lobby"), Version: new("1"), ZipFile: text, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}})
		if !strings.HasPrefix(*c.ScriptId, "script-") || *c.ScriptArn != "arn:aws:gamelift:us-west-2:123456789012:script/"+*c.ScriptId || *c.Name != "lobby" ||
			*c.Version != "1" || *c.NodeJsVersion != "10.x" || *c.SizeOnDisk != int64(len(text)) || !c.CreationTime.Equal(r.clock.Now()) ||
			*c.StorageLocation.Bucket != "matchyard-builds-us-west-2" || !strings.HasPrefix(*c.StorageLocation.Key, "123456789012/"+*c.ScriptId+"/") {
			t.Errorf("%+v %+v", c, c.StorageLocation)
		}
		first := r.getScript(*c.ScriptArn)
		if first.OS() != types.OperatingSystemAmazonLinux2 || first.Size != int64(len(text)) || !slices.Equal(r.files(), []string{first.Blob}) {
			t.Errorf("%+v, files %q", first, r.files())
		}
		if tags, err := r.Tags.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: c.ScriptArn}); err != nil || len(tags.Tags) != 1 {
			t.Errorf("%v, %v", tags, err)
		}

		// New content takes the place of the old, which hosts may still fetch for a while.
		newer := archiveOf("index.js", "more.js")
		out, err := r.UpdateScript(ctx, &gamelift.UpdateScriptInput{ScriptId: c.ScriptId, ZipFile: newer})
		expect.OK(t, err)
		if s := out.Script; *s.Name != "lobby" || *s.Version != "1" || *s.SizeOnDisk != int64(len(newer)) || *s.StorageLocation.Key == *c.StorageLocation.Key {
			t.Errorf("%+v", s)
		}
		second := r.getScript(*c.ScriptId)
		if n := len(r.files()); n != 2 || second.Blob == first.Blob {
			t.Errorf("%d files, %q", n, second.Blob)
		}
		r.clock.Advance(time.Hour)
		if files := r.files(); !slices.Equal(files, []string{second.Blob}) || r.used("script bytes") != int64(len(newer)) {
			t.Errorf("files %q, %d bytes", files, r.used("script bytes"))
		}

		// A change of names leaves the content, and content from elsewhere has no size.
		out, err = r.UpdateScript(ctx, &gamelift.UpdateScriptInput{ScriptId: c.ScriptArn, Name: new("hall"), Version: new("2")})
		expect.OK(t, err)
		if s := out.Script; *s.Name != "hall" || *s.Version != "2" || *s.SizeOnDisk != int64(len(newer)) || r.getScript(*c.ScriptId).Blob != second.Blob {
			t.Errorf("%+v", s)
		}
		out, err = r.UpdateScript(ctx, &gamelift.UpdateScriptInput{ScriptId: c.ScriptId, StorageLocation: r.source("games", "a.zip", text)})
		expect.OK(t, err)
		if s := out.Script; *s.SizeOnDisk != 0 || *s.StorageLocation.Bucket != "games" || *s.Name != "hall" {
			t.Errorf("%+v", s)
		}
		described, err := r.DescribeScript(ctx, &gamelift.DescribeScriptInput{ScriptId: c.ScriptId})
		if err != nil || *described.Script.StorageLocation.Key != "a.zip" {
			t.Errorf("%+v, %v", described, err)
		}

		var file build.File
		r.write(func(tx *store.Tx) (err error) { file, err = r.FileTx(tx, first.Key); return err })
		if file.Size != int64(len(text)) {
			t.Errorf("%+v", file)
		}
		_, err = r.DeleteScript(ctx, &gamelift.DeleteScriptInput{ScriptId: c.ScriptId})
		expect.OK(t, err)
		r.clock.Advance(time.Hour)
		if files := r.files(); len(files) != 0 || r.used("script") != 0 || r.used("script bytes") != 0 {
			t.Errorf("deleted: files %q, %d scripts of %d bytes", files, r.used("script"), r.used("script bytes"))
		}
		if _, _, err := r.Sources.Fetch(ctx, "games", "a.zip", ""); err != nil {
			t.Errorf("the caller's own file: %v", err)
		}
	})
}

func TestScriptsThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := r.t.Context()
		good, at := archiveOf("index.js"), r.source("games", "a.zip", archiveOf("index.js"))
		huge := append(bytes.Repeat([]byte("x"), 5_000_000), good...)
		gone := *at
		gone.Key = new("b.zip")
		norole := *at
		norole.RoleArn = nil
		for _, c := range []struct {
			name string
			in   gamelift.CreateScriptInput
			says []string
		}{
			{"nothing", gamelift.CreateScriptInput{}, []string{"ZipFile", "StorageLocation"}},
			{"both", gamelift.CreateScriptInput{ZipFile: good, StorageLocation: at}, []string{"not both"}},
			{"large", gamelift.CreateScriptInput{ZipFile: huge}, []string{"ZipFile", "5000000"}},
			{"a forgotten fileb", gamelift.CreateScriptInput{ZipFile: []byte("script.zip")}, []string{"ZipFile", "zip", "fileb://"}},
			{"hostile", gamelift.CreateScriptInput{ZipFile: archiveOf("/etc/passwd")}, []string{"ZipFile", "absolute"}},
			{"node", gamelift.CreateScriptInput{ZipFile: good, NodeJsVersion: new("18.x")}, []string{"NodeJsVersion", "18.x"}},
			{"no object", gamelift.CreateScriptInput{StorageLocation: &gone}, []string{"Provided resource is not accessible."}},
			{"no role", gamelift.CreateScriptInput{StorageLocation: &norole}, []string{"GameLift cannot assume the role"}},
			{"no archive there", gamelift.CreateScriptInput{StorageLocation: r.source("games", "c.zip", []byte("x"))}, []string{"StorageLocation", "zip"}},
			{"a tag twice", gamelift.CreateScriptInput{ZipFile: good, Tags: []types.Tag{{Key: new("a"), Value: new("")}, {Key: new("a"), Value: new("")}}}, []string{"Tags"}},
		} {
			_, err := r.CreateScript(ctx, &c.in)
			expect.Refused(t, c.name, err, invalid, c.says...)
		}
		s := r.script(&gamelift.CreateScriptInput{ZipFile: good, NodeJsVersion: new("24.x")})
		if got := r.getScript(*s.ScriptId); got.OS() != types.OperatingSystemAmazonLinux2023 {
			t.Errorf("%s", got.OS())
		}
		_, err := r.UpdateScript(ctx, &gamelift.UpdateScriptInput{ScriptId: s.ScriptId, ZipFile: []byte("x"), Name: new("never")})
		expect.Refused(t, "update with no archive", err, invalid, "ZipFile")
		if got := r.getScript(*s.ScriptId); got.Name != nil {
			t.Errorf("half an update: %+v", got)
		}
		for name, code := range map[string]string{unknownScript: missing, unknownBuild: invalid} {
			_, err := r.DescribeScript(ctx, &gamelift.DescribeScriptInput{ScriptId: &name})
			expect.Refused(t, "describe", err, code, "ScriptId")
			_, err = r.UpdateScript(ctx, &gamelift.UpdateScriptInput{ScriptId: &name, ZipFile: good})
			expect.Refused(t, "update", err, code, "ScriptId")
			_, err = r.DeleteScript(ctx, &gamelift.DeleteScriptInput{ScriptId: &name})
			expect.Refused(t, "delete", err, code, "ScriptId")
		}
		if files := r.files(); len(files) != 1 {
			t.Errorf("what was refused is left: %q", files)
		}

		r.Config.Scripts, r.Config.ScriptBytes = 2, 2*int64(len(good))
		r.script(&gamelift.CreateScriptInput{ZipFile: good})
		_, err = r.CreateScript(ctx, &gamelift.CreateScriptInput{ZipFile: good})
		expect.Refused(t, "a third script", err, invalid, "quota of 2")
		_, err = r.UpdateScript(ctx, &gamelift.UpdateScriptInput{ScriptId: s.ScriptId, ZipFile: archiveOf("index.js", "x")})
		expect.Refused(t, "more bytes", err, invalid, "bytes of all scripts")
	})
}

func TestListScripts(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		var ids []string
		for range 5 {
			ids = append(ids, *r.script(&gamelift.CreateScriptInput{ZipFile: archiveOf("a")}).ScriptId)
		}
		for _, limit := range []int32{1, 2, 5, 100} {
			var got []string
			for _, s := range walk(t, int(limit), func(token *string) ([]types.Script, *string, error) {
				out, err := r.ListScripts(r.t.Context(), &gamelift.ListScriptsInput{Limit: &limit, NextToken: token})
				if err != nil {
					return nil, nil, err
				}
				return out.Scripts, out.NextToken, nil
			}) {
				got = append(got, *s.ScriptId)
			}
			if !slices.Equal(got, ids) {
				t.Errorf("by %d: %q, want %q", limit, got, ids)
			}
		}
		_, err := r.ListScripts(r.t.Context(), &gamelift.ListScriptsInput{NextToken: foreignToken()})
		expect.Refused(t, "a foreign token", err, invalid, "NextToken")
	})
}
