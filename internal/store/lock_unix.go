//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile locks f for this process until f is closed or the process ends, or fails at once.
func lockFile(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}
