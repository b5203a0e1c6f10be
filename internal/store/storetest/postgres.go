package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/matchyard/matchyard/internal/store"
)

var (
	startOnce sync.Once
	serverURL string // postgres://…/ without a database name
	startErr  error
	databases atomic.Int64

	// lifeline is the server's standard input. It is kept here because the collector closes
	// pipes that nobody refers to, and the server ends with it.
	lifeline io.WriteCloser

	templateOnce sync.Once
	template     string // name of a migrated database to copy; none on a server that is not ours
	templateErr  error
)

// PostgresURL makes a database for this test, with all migrations applied and no row but
// theirs, and returns its URL. The database is dropped when the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server(t)
	templateOnce.Do(func() {
		if lifeline != nil {
			template, templateErr = migrated()
		}
	})
	if templateErr != nil {
		t.Fatalf("no database to copy: %v", templateErr)
	}
	if template == "" {
		return use(t, create(""))
	}
	return use(t, next())
}

// ahead is a database being made while the test before runs.
var (
	aheadMu sync.Mutex
	ahead   chan made
)

type made struct {
	name string
	err  error
}

// next takes the database made ahead, and has the one after it made.
func next() made {
	aheadMu.Lock()
	ready, after := ahead, make(chan made, 1)
	ahead = after
	aheadMu.Unlock()
	if ready == nil {
		defer func() { go func() { after <- create(template) }() }()
		return create(template)
	}
	go func() { after <- create(template) }()
	return <-ready
}

// EmptyPostgresURL makes a database without any table for this test and returns its URL.
// The database is dropped when the test ends.
func EmptyPostgresURL(t testing.TB) string {
	t.Helper()
	server(t)
	return use(t, create(""))
}

// server starts the server when nobody did.
func server(t testing.TB) {
	t.Helper()
	startOnce.Do(func() {
		if serverURL = os.Getenv("MATCHYARD_TEST_POSTGRES"); serverURL == "" {
			serverURL, startErr = start()
		}
	})
	if startErr != nil {
		t.Fatalf("no PostgreSQL to test on: %v (apt-get install postgresql, or set MATCHYARD_TEST_POSTGRES)", startErr)
	}
}

// migrated makes the database that tests' databases are copies of.
func migrated() (string, error) {
	name := fmt.Sprintf("t%d", os.Getpid())
	if err := admin("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	db, err := store.Open(context.Background(), serverURL+name, store.Options{})
	if err != nil {
		return "", err
	}
	return name, db.Close()
}

func create(template string) made {
	name := fmt.Sprintf("t%d_%d", os.Getpid(), databases.Add(1))
	statement := "CREATE DATABASE " + name
	if template != "" {
		statement += " TEMPLATE " + template
	}
	return made{name, admin(statement)}
}

// use is the URL of a database until the test ends.
func use(t testing.TB, m made) string {
	t.Helper()
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() {
		if lifeline != nil {
			go func() { _ = drop(m.name) }() // nobody waits: the server goes with all that is left
			return
		}
		if err := drop(m.name); err != nil {
			t.Error(err)
		}
	})
	return serverURL + m.name
}

// drops is held by whoever drops a database: one at a time, beside the tests.
var drops sync.Mutex

func drop(name string) error {
	drops.Lock()
	defer drops.Unlock()
	return admin("DROP DATABASE " + name + " WITH (FORCE)")
}

func admin(statement string) error {
	pool, err := administration()
	if err != nil {
		return err
	}
	_, err = pool.Exec(context.Background(), statement)
	return err
}

// administration is connections for making and dropping databases, kept until the end.
var administration = sync.OnceValues(func() (*pgxpool.Pool, error) {
	return pgxpool.New(context.Background(), serverURL+"postgres")
})

// start makes a cluster in a temporary folder, without fsync, and leaves it to a watcher
// that stops it when this process ends, however it ends.
func start() (string, error) {
	initdb, err := tool("initdb")
	if err != nil {
		return "", err
	}
	server, err := tool("postgres")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "matchyard-pg-")
	if err != nil {
		return "", err
	}
	as, err := credential(dir)
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	if out, err := run(as, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	for range 5 {
		var url string
		if url, err = serve(server, data, as); err == nil {
			return url, nil
		}
	}
	return "", err
}

// serve starts the server on a free port and waits until it answers. Somebody may take the
// port before it does; then it fails at once.
func serve(server, data string, as *syscall.Credential) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	// The shell outlives us: it waits for its standard input to close, which happens when
	// this process ends, then stops the server and removes the folder. When the server ends
	// first, so does the shell.
	script := `"$1" -D "$2" -h 127.0.0.1 -p "$3" -k "$2" -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 >"$2/log" 2>&1 &
pid=$!; { cat >/dev/null; kill -QUIT $pid; } <&3 & wait $pid; [ $? = 1 ] || rm -rf "$(dirname "$2")"`
	c := exec.Command("/bin/sh", "-c", "exec 3<&0; "+script, "sh", server, data, strconv.Itoa(port))
	c.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	c.Dir = "/"
	if lifeline, err = c.StdinPipe(); err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/", port)
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := pgx.Connect(context.Background(), url+"postgres")
		if err == nil {
			return url, conn.Close(context.Background())
		}
		select {
		case err := <-ended:
			text, _ := os.ReadFile(filepath.Join(data, "log"))
			return "", errors.Join(fmt.Errorf("postgres ended: %s", text), err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = lifeline.Close()
			return "", fmt.Errorf("postgres did not start: %w", err)
		}
	}
}

// tool finds a PostgreSQL program on the path or where Debian puts it.
func tool(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath(name)
}

// credential is the user to run PostgreSQL as: it refuses to run as root.
func credential(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no change of user is needed
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
	}
	return nil, fmt.Errorf("running as root and there is no user postgres or nobody")
}

func run(as *syscall.Credential, name string, args ...string) ([]byte, error) {
	c := exec.Command(name, args...)
	c.Dir = "/"
	if as != nil {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	}
	return c.CombinedOutput()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
