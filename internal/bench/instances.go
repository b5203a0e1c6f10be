package bench

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

const (
	instanceCount = 9000 // AWS's published figure is 9,000 a minute
	hostCount     = 300
	openers       = 24 // game servers that start at the same time
	goalInstance  = 64 << 10
)

// manyInstances is how many instances a minute get from UpdateFleetCapacity to ACTIVE: each
// is scheduled onto one of 300 hosts, whose simulated agents speak the real protocol over
// real WebSockets, and each has one game-server process with a socket of its own. The server
// is a process of its own; agents and game servers share the machine with it. The baseline
// is what the database takes of the same rows when nothing stands above it.
func manyInstances(ctx context.Context, o Options) error {
	n := instanceCount
	if limit, err := raiseFiles(); err != nil {
		return err
	} else if most := int(limit) - hostCount - 500; n > most {
		o.logf("instances: the limit of open files allows %d", most)
		n = most
	}
	each := (n + hostCount - 1) / hostCount
	base, err := rawInstances(ctx, n)
	if err != nil {
		return err
	}
	folder, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	at := []string{"--store", sqliteURL(folder), "--data", folder}
	p, err := startProgram(ctx, o.Program, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "off", "--log-level", "error"}, at...)...)
	if err != nil {
		return err
	}
	defer p.kill()
	e := p.env()
	if err := e.managedFleet(ctx); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, o.Program, append([]string{"hosts", "token", "create", "bench"}, at...)...).Output()
	if err != nil {
		return fmt.Errorf("host token: %w", err)
	}
	_, token, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	yard := &agentYard{address: e.address, token: token, todo: make(chan opening, n)}
	ctx, stop := context.WithCancel(ctx)
	defer yard.close()
	defer stop()
	for i := range hostCount {
		if err := yard.join(ctx, "host-"+strconv.Itoa(i), each); err != nil {
			return err
		}
	}
	for range openers {
		yard.group.Go(func() { yard.open(ctx) })
	}
	if _, err := e.countActive(ctx, 1, time.Minute, yard); err != nil {
		return err
	}
	before, err := p.memory()
	if err != nil {
		return err
	}
	cpu, err := p.cpu()
	if err != nil {
		return err
	}
	if _, err := e.api.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: &e.fleet, DesiredInstances: new(int32(n)), MaxSize: new(int32(n))}); err != nil {
		return err
	}
	took, err := e.countActive(ctx, n, 10*time.Minute, yard)
	if err != nil {
		return err
	}
	used, err := p.cpu()
	if err != nil {
		return err
	}
	after, err := p.memory()
	if err != nil {
		return err
	}
	rate := float64(n-1) / took.Minutes()
	report(o.Out, "instances", rate, "instances/min", base, rate/base)
	spent := ms(used-cpu) / float64(n-1)
	report(o.Out, "instances-cpu", spent, "ms/instance", 60_000/base, spent/(60_000/base))
	memory := float64(after-before) / float64(n-1)
	report(o.Out, "instances-memory", memory, "bytes/instance", goalInstance, memory/goalInstance)
	o.logf("instances: %d in %v, server used %v of processor, %d MiB", n, took.Round(time.Millisecond), (used - cpu).Round(time.Millisecond), after>>20)
	return e.atRest(ctx, o, p, n, yard)
}

// atRest is what so many instances cost when nothing happens, and how fast they end.
func (e *env) atRest(ctx context.Context, o Options, p *program, n int, yard *agentYard) error {
	cpu, err := p.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	used, err := p.cpu()
	if err != nil {
		return err
	}
	o.logf("instances: at rest the server uses %.1f%% of one processor", 100*(used-cpu).Seconds()/time.Since(began).Seconds())
	began = time.Now()
	if _, err := e.api.UpdateFleetCapacity(ctx, &gamelift.UpdateFleetCapacityInput{FleetId: &e.fleet, DesiredInstances: new(int32(0))}); err != nil {
		return err
	}
	if _, err := e.countActive(ctx, 0, 10*time.Minute, yard); err != nil {
		return err
	}
	o.logf("instances: %d stopped in %v", n, time.Since(began).Round(time.Millisecond))
	return nil
}

// managedFleet uploads a build and makes a fleet of it.
func (e *env) managedFleet(ctx context.Context) error {
	made, err := e.api.CreateBuild(ctx, &gamelift.CreateBuildInput{Name: new("bench"), OperatingSystem: types.OperatingSystemAmazonLinux2023, ServerSdkVersion: new("5.5.0")})
	if err != nil {
		return err
	}
	c := made.UploadCredentials
	up := s3.New(s3.Options{
		BaseEndpoint: new("http://" + e.address), Region: e.region, UsePathStyle: true,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)),
	})
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	w, err := z.Create("server")
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte("#!/bin/sh\n")); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if _, err := up.PutObject(ctx, &s3.PutObjectInput{Bucket: made.StorageLocation.Bucket, Key: made.StorageLocation.Key, Body: bytes.NewReader(file.Bytes())}); err != nil {
		return err
	}
	for range 100 {
		b, err := e.api.DescribeBuild(ctx, &gamelift.DescribeBuildInput{BuildId: made.Build.BuildId})
		if err != nil {
			return err
		}
		if b.Build.Status == types.BuildStatusReady {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	out, err := e.api.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: new("bench"), BuildId: made.Build.BuildId, EC2InstanceType: types.EC2InstanceTypeC5Large,
		RuntimeConfiguration: &types.RuntimeConfiguration{ServerProcesses: []types.ServerProcess{{LaunchPath: new("/local/game/server"), ConcurrentExecutions: new(int32(1))}}},
	})
	if err == nil {
		e.fleet = *out.FleetAttributes.FleetId
	}
	return err
}

// countActive waits until the fleet has n active instances and no others.
func (e *env) countActive(ctx context.Context, n int, patience time.Duration, yard *agentYard) (time.Duration, error) {
	began := time.Now()
	for {
		out, err := e.api.DescribeFleetCapacity(ctx, &gamelift.DescribeFleetCapacityInput{FleetIds: []string{e.fleet}})
		if err != nil {
			return 0, err
		}
		c := out.FleetCapacity[0].InstanceCounts
		if int(*c.ACTIVE) == n && *c.PENDING == 0 && *c.TERMINATING == 0 {
			f, err := e.api.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{e.fleet}})
			if err != nil {
				return 0, err
			}
			if f.FleetAttributes[0].Status == types.FleetStatusActive {
				return time.Since(began), yard.failure()
			}
		}
		if time.Since(began) > patience {
			return 0, errors.Join(fmt.Errorf("%d of %d instances are active, %d pending, %d terminating after %v", *c.ACTIVE, n, *c.PENDING, *c.TERMINATING, patience), yard.failure())
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// agentYard are simulated agents and their game servers.
type agentYard struct {
	address, token string
	todo           chan opening
	group          sync.WaitGroup

	mu      sync.Mutex
	fault   error
	agents  []*simAgent
	servers map[string]net.Conn // by instance
}

// opening is a game server that is to start.
type opening struct {
	agent *simAgent
	start hostmsg.Start
}

// simAgent is one agent's socket.
type simAgent struct {
	yard *agentYard
	mu   sync.Mutex
	conn net.Conn
	has  map[string]bool
}

func (y *agentYard) fail(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.fault == nil {
		y.fault = err
	}
}

func (y *agentYard) failure() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.fault
}

// close ends all sockets.
func (y *agentYard) close() {
	y.mu.Lock()
	for _, a := range y.agents {
		_ = a.conn.Close()
	}
	for _, c := range y.servers {
		_ = c.Close()
	}
	y.mu.Unlock()
	y.group.Wait()
}

// join connects an agent.
func (y *agentYard) join(ctx context.Context, name string, capacity int) error {
	d := ws.Dialer{Timeout: time.Minute, Header: ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + y.token}})}
	conn, _, _, err := d.Dial(ctx, "ws://"+y.address+hostmsg.Path)
	if err != nil {
		return err
	}
	a := &simAgent{yard: y, conn: conn, has: map[string]bool{}}
	y.mu.Lock()
	y.agents = append(y.agents, a)
	if y.servers == nil {
		y.servers = map[string]net.Conn{}
	}
	y.mu.Unlock()
	if err := a.say(&hostmsg.Hello{Host: name, Version: "bench", Address: "127.0.0.1", OS: "linux", Capacity: capacity}); err != nil {
		return err
	}
	y.group.Go(func() {
		for ctx.Err() == nil {
			if err := a.hear(ctx); err != nil {
				if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
					y.fail(fmt.Errorf("agent %s: %w", name, err))
				}
				return
			}
		}
	})
	y.group.Go(func() { // real agents ping
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Second):
				if a.say(&hostmsg.Alive{CPU: 0.5, Memory: 1 << 30, MemoryTotal: 2 << 30}) != nil {
					return
				}
			}
		}
	})
	return nil
}

func (a *simAgent) say(messages ...any) error {
	var all []byte
	for _, m := range messages {
		text, err := hostmsg.Encode(m)
		if err != nil {
			return err
		}
		all = append(all, ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame(text)))...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.conn.Write(all)
	return err
}

// hear takes one message.
func (a *simAgent) hear(ctx context.Context) error {
	text, err := wsutil.ReadServerText(a.conn)
	if err != nil {
		return err
	}
	m, err := hostmsg.Decode(text)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *hostmsg.Start:
		if a.has[m.Instance] {
			return nil
		}
		a.has[m.Instance] = true
		id := m.Instance
		if err := a.say(
			&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Preparing},
			&hostmsg.Progress{Instance: id, Step: hostmsg.StepDownload},
			&hostmsg.Progress{Instance: id, Step: hostmsg.StepExtract, Log: "server\n"},
			&hostmsg.Progress{Instance: id, Step: hostmsg.StepValidate, Log: "/local/game/server: exists\n"},
			&hostmsg.Progress{Instance: id, Step: hostmsg.StepLaunched},
			&hostmsg.InstanceChanged{Instance: id, Status: hostmsg.Running},
			&hostmsg.ProcessStarted{Instance: id, Process: "p-" + id, LaunchPath: "/local/game/server"},
		); err != nil {
			return err
		}
		select {
		case a.yard.todo <- opening{a, *m}:
		case <-ctx.Done():
		}
	case *hostmsg.Stop:
		delete(a.has, m.Instance)
		a.yard.mu.Lock()
		if c := a.yard.servers[m.Instance]; c != nil {
			_ = c.Close()
			delete(a.yard.servers, m.Instance)
		}
		a.yard.mu.Unlock()
		return a.say(
			&hostmsg.ProcessEnded{Instance: m.Instance, Process: "p-" + m.Instance, Reason: hostmsg.ExitNormal},
			&hostmsg.InstanceChanged{Instance: m.Instance, Status: hostmsg.Gone},
		)
	}
	return nil
}

// open starts game servers.
func (y *agentYard) open(ctx context.Context) {
	for i := 0; ; i++ {
		var o opening
		select {
		case <-ctx.Done():
			return
		case o = <-y.todo:
		}
		conn, err := dialHost(ctx, y.address, "", o.start.Fleet, o.start.Instance, "p-"+o.start.Instance, o.start.Token)
		if err == nil {
			y.mu.Lock()
			y.servers[o.start.Instance] = conn
			y.mu.Unlock()
			err = (&host{conn: conn}).ready(1024 + i%50_000)
		}
		if err != nil && ctx.Err() == nil {
			y.fail(fmt.Errorf("game server of %s: %w", o.start.Instance, err))
		}
	}
}

// rawInstances is how many instances a minute the database takes: a row each of instance,
// compute, token and process, 500 instances a transaction.
func rawInstances(ctx context.Context, n int) (perMinute float64, err error) {
	folder, remove, err := scratch()
	if err != nil {
		return 0, err
	}
	defer remove()
	db, err := store.Open(ctx, sqliteURL(folder), store.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = closing(err, db.Close) }()
	began := time.Now()
	for left := n; left > 0; left -= 500 {
		if err := db.Write(ctx, func(tx *store.Tx) error {
			var tables [4][][]any
			for range min(left, 500) {
				key := tx.NewKey()
				id := "i-" + strconv.FormatInt(int64(key), 16)
				tables[0] = append(tables[0], []any{key, id, 1, "fleet-raw", "us-west-2", 1, key, "127.0.0.1", "c5.large", "AMAZON_LINUX_2023", "RUN", "PENDING", 0, 1, 0, tx.NowMs(), tx.NowMs()})
				tables[1] = append(tables[1], []any{key, 1, "fleet-raw", id, "us-west-2", "127.0.0.1", 1, tx.NowMs(), 0, 0, 0, 0})
				tables[2] = append(tables[2], []any{"token-" + id, key, tx.NowMs()})
				tables[3] = append(tables[3], []any{key, key, 1, "fleet-raw", id, "us-west-2", "127.0.0.1", 1, "p", "", "", "READY", 1, 0, 0, 0, 1, tx.NowMs(), 0, 7000, "[]", "5.5.0", "Go", "", ""})
			}
			return errors.Join(
				tx.InsertMany(`INSERT INTO instance (key, id, fleet, fleet_id, location, host, compute, ip, kind, os, desired, actual, ready, rev, told, at, made_at)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`, tables[0]),
				tx.InsertMany(`INSERT INTO compute (key, fleet, fleet_id, name, location, ip_address, agent, created_at, ready, free, hosting, activating)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, tables[1]),
				tx.InsertMany(`INSERT INTO compute_token (token, compute, expires_at) VALUES ($1, $2, $3)`, tables[2]),
				tx.InsertMany(`INSERT INTO process (key, compute, fleet, fleet_id, compute_name, location, ip_address, agent, process_id, created_with, token, status, healthy,
						activating, hosted, free, dial, dialled_at, sent, port, log_paths, sdk_version, sdk_language, tool_name, tool_version)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)`, tables[3]),
			)
		}); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Minutes(), nil
}

// cpu is the processor time that the process has used.
func (p *program) cpu() (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errors.New("no times in /proc/PID/stat")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err // 100 ticks a second
}
