package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/depot"
)

// openDepot opens the places of files, gives them to the rooms, and makes the edge by which
// files come and go.
func (a *App) openDepot(ctx context.Context) error {
	blobs, err := a.openBlobs(ctx)
	if err != nil {
		return fmt.Errorf("blobs: %w", err)
	}
	sources, err := a.openSources(ctx, blobs)
	if err != nil {
		return fmt.Errorf("build-sources: %w", err)
	}
	r := a.rooms
	r.builds.Blobs, r.builds.Sources, r.hosts.Blobs = blobs, sources, blobs
	secret, err := r.builds.LinkSecret(ctx)
	if err != nil {
		return err
	}
	r.links = depot.Links{Secret: secret, Base: a.webEndpoint}
	r.fleets.EventLogURL = func(path string) string { return r.links.Get(path, eventLogLife, "") }
	a.depot = &depot.Server{Builds: &r.builds, Blobs: eventLogs{blobs, r.fleets.EventLog}, Links: &r.links, Logger: a.logger}
	return nil
}

// openBlobs opens the store of files: what the configuration names, or a folder beside the
// database. Without either it is a folder that goes with the server.
func (a *App) openBlobs(ctx context.Context) (blob.Store, error) {
	place := a.config.Blobs
	if config.IsS3(place) {
		return blob.OpenS3(ctx, place)
	}
	if place == "" && a.config.Folder() != "" {
		place = filepath.Join(a.config.Folder(), "blobs")
	}
	if place == "" {
		var err error
		if place, err = os.MkdirTemp("", "matchyard-blobs-"); err != nil {
			return nil, err
		}
		a.closers = append(a.closers, func() error { return os.RemoveAll(place) })
		if !a.config.Dev {
			a.logger.Warn("builds are kept until this server stops, and by this node only; blobs says where to keep them", slog.String("folder", place))
		}
	}
	dir, err := blob.OpenDir(place)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, dir.Close)
	return dir, nil
}

// openSources opens the place of callers' own buckets: what the configuration names, or the
// S3-compatible store that has the server's own files. Without either there is none.
func (a *App) openSources(ctx context.Context, blobs blob.Store) (blob.Source, error) {
	switch place := a.config.BuildSources; {
	case config.IsS3(place):
		return blob.OpenS3(ctx, place)
	case place != "":
		b, err := blob.OpenBuckets(place)
		if err != nil {
			return nil, err
		}
		a.closers = append(a.closers, b.Close)
		return b, nil
	}
	if s3, ok := blobs.(*blob.S3); ok {
		return s3, nil
	}
	return nil, nil
}

// files hands requests for files to the depot, and all others to next.
func (a *App) files(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.depot.Claims(r) {
			a.depot.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// workEvery is how often builds are looked for whose file waits, should nobody tell of one.
const workEvery = 5 * time.Second

// workOnBuilds fetches and looks through the files of builds until ctx ends.
func (a *App) workOnBuilds(ctx context.Context) {
	told := make(chan struct{}, 1)
	cancel := a.db.Subscribe(build.Channel, func(string) {
		select {
		case told <- struct{}{}:
		default:
		}
	})
	defer cancel()
	ticker := time.NewTicker(workEvery)
	defer ticker.Stop()
	for {
		more, err := a.rooms.builds.Work(ctx)
		if err != nil && ctx.Err() == nil {
			a.logger.Error("file of a build waits", slog.Any("error", err))
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-told:
		case <-ticker.C:
		}
	}
}

// closeFiles gives the places of files back, in the opposite order.
func (a *App) closeFiles() error {
	var errs []error
	for _, end := range slices.Backward(a.closers) {
		errs = append(errs, end())
	}
	a.closers = nil
	return errors.Join(errs...)
}
