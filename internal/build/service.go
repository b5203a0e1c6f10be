package build

import (
	"cmp"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/blob"
	"github.com/matchyard/matchyard/internal/seal"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

// Service is the build room. DB, Home, Tags and Blobs are required.
type Service struct {
	DB    *store.DB
	Home  arn.Home
	Tags  *tag.Service
	Blobs blob.Store
	// Sources is where the buckets of callers' own storage locations are looked up. Nil:
	// nowhere, and such builds and scripts are refused.
	Sources blob.Source
	Config  Config
	// Seal closes the secret of links to files.
	Seal seal.Ring

	mu   sync.Mutex
	busy map[store.Key]bool // builds whose file this process fetches or checks
}

// Config are the choices of the room. A zero field means its default.
type Config struct {
	Builds      int           // most builds, default 1000
	BuildBytes  int64         // most bytes of all builds, default 100 GB
	Scripts     int           // most scripts, default 1000
	ScriptBytes int64         // most bytes of all scripts, default 100 GB
	UploadLife  time.Duration // how long upload credentials are good, default 3 h
}

const gigabyte = 1_000_000_000

func (c Config) orDefaults() Config {
	return Config{
		Builds:      cmp.Or(c.Builds, 1000),
		BuildBytes:  cmp.Or(c.BuildBytes, 100*gigabyte),
		Scripts:     cmp.Or(c.Scripts, 1000),
		ScriptBytes: cmp.Or(c.ScriptBytes, 100*gigabyte),
		UploadLife:  cmp.Or(c.UploadLife, 3*time.Hour),
	}
}
