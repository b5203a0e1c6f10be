//go:build !windows

package blob

import "os"

func syncFolder(f *os.File) error { return f.Sync() }
