// Command game is a game server for the agent's tests: it does what its first argument says.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/amazon-gamelift/amazon-gamelift-servers-go-server-sdk/v5/server"
)

func main() {
	fmt.Println("game", os.Getpid(), os.Args[1:])
	switch os.Args[1] {
	case "run": // until it is ended
		write("env.txt", strings.Join(os.Environ(), "\n"))
		time.Sleep(time.Hour)
	case "log": // writes a log file, and ends when it is asked to
		write(os.Args[2], "the log of a game\n")
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
	case "crash":
		fmt.Println("cannot load the map")
		os.Exit(3)
	case "quit":
		time.Sleep(200 * time.Millisecond)
	case "family": // children in the group, and grandchildren that left it, more and more
		for range 3 {
			start(false, "child")
		}
		time.Sleep(time.Hour)
	case "child":
		start(false, "sleep")
		start(true, "sleep")
		time.Sleep(time.Hour)
	case "sleep":
		time.Sleep(time.Hour)
	case "flood":
		for n := 0; ; n++ {
			fmt.Printf("%d %s\n", n, strings.Repeat("x", 1000))
			if n%100 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
	case "metrics":
		metrics()
	}
}

func write(name, text string) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		panic(err)
	}
}

func start(leave bool, mode string) {
	cmd := exec.Command(os.Args[0], mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: leave}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// metrics sends telemetry by the official SDK, until it is ended.
func metrics() {
	m, err := server.InitMetricsFromEnvironment()
	if err != nil {
		panic(err)
	}
	players, err := m.Gauge("players")
	if err != nil {
		panic(err)
	}
	packets, err := m.Counter("packets_in")
	if err != nil {
		panic(err)
	}
	ticks, err := m.Timer("tick_time")
	if err != nil {
		panic(err)
	}
	fmt.Println("metrics begin")
	for {
		players.Set(7)
		packets.Add(3)
		ticks.SetMilliseconds(16.5)
		time.Sleep(20 * time.Millisecond)
	}
}
