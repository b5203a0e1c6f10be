package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/matchyard/matchyard/internal/cli"
	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/demo"
)

type demoCmd struct {
	GameServer string `placeholder:"FILE" help:"The example game server. Default: gameserver beside this program." env:"MATCHYARD_GAME_SERVER"`
	Keep       bool   `help:"Leave the server and a game server up, and say how to use them." env:"KEEP"`
	Listen     string `help:"Address of the API. Default: with --keep 127.0.0.1:9170, else a free port." env:"MATCHYARD_LISTEN"`
	Admin      string `help:"Admin address. Default: with --keep 127.0.0.1:9171, else a free port." env:"MATCHYARD_ADMIN"`
}

func (c *demoCmd) Run(ctx context.Context, _ *cli.Context, out *stdout) error {
	if c.GameServer == "" {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		c.GameServer = filepath.Join(filepath.Dir(program), "gameserver")
	}
	server := config.Default()
	if !c.Keep {
		server.Listen, server.Admin = "127.0.0.1:0", "127.0.0.1:0"
	}
	if c.Listen != "" {
		server.Listen = c.Listen
	}
	if c.Admin != "" {
		server.Admin = c.Admin
	}
	server.Version = version
	return demo.Run(ctx, demo.Options{Config: server, GameServer: c.GameServer, Keep: c.Keep, Out: out})
}
