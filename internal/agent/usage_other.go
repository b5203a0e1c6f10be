//go:build !linux

package agent

import "github.com/matchyard/matchyard/internal/hostmsg"

// usage measures nothing on this platform.
type usage struct{}

func (u *usage) alive() *hostmsg.Alive { return &hostmsg.Alive{} }
