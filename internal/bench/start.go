package bench

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

const (
	starts     = 9
	goalMemory = 40 // MiB, idle
	goalBinary = 40 // MiB
)

// startUp is the time from the start of the program to its ready line, its memory when
// idle, and its size. The baseline of the first is the program's `version`, which does
// nothing; those of the others are the goals.
func startUp(ctx context.Context, o Options) error {
	var ready, version []time.Duration
	var memory int64
	for range starts {
		began := time.Now()
		if err := exec.CommandContext(ctx, o.Program, "version").Run(); err != nil {
			return err
		}
		version = append(version, time.Since(began))
		p, err := startProgram(ctx, o.Program, "dev", "--ephemeral", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "error")
		if err != nil {
			return err
		}
		ready = append(ready, p.took)
		if len(ready) == starts {
			time.Sleep(2 * time.Second)
			memory, err = p.memory()
		}
		p.kill()
		if err != nil {
			return err
		}
	}
	slices.Sort(ready)
	slices.Sort(version)
	r, v := ms(ready[starts/2]), ms(version[starts/2])
	report(o.Out, "start", r, "ms", v, r/v)
	m := float64(memory) / (1 << 20)
	report(o.Out, "start-memory", m, "MiB", goalMemory, m/goalMemory)
	info, err := os.Stat(o.Program)
	if err != nil {
		return err
	}
	size := float64(info.Size()) / (1 << 20)
	report(o.Out, "start-binary", size, "MiB", goalBinary, size/goalBinary)
	return nil
}

// env makes the program's server usable as one in this process is.
func (p *program) env() *env {
	e := &env{address: p.address, region: "us-west-2"}
	e.api = client(e.address, e.region)
	return e
}

// client is the SDK's client with the root key.
func client(address, region string) *gamelift.Client {
	endpoint := "http://" + address
	return gamelift.New(gamelift.Options{
		BaseEndpoint: &endpoint,
		Region:       region,
		Credentials:  aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(keyID, secret, "")),
	})
}
