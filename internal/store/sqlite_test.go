package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/store/storetest"
)

// crashEnv makes the test binary write to the database it names until it is killed.
const crashEnv = "MATCHYARD_STORE_CRASH"

func TestMain(m *testing.M) {
	storetest.Always = true
	if path := os.Getenv(crashEnv); path != "" {
		writeUntilKilled(path)
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled prints a line for every acknowledged row.
func writeUntilKilled(path string) {
	db, err := store.Open(context.Background(), "sqlite:"+path, store.Options{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	db.LogLimit(200) // checkpoints are part of the test
	batch := &store.Batcher[string, int]{DB: db, Run: func(tx *store.Tx, in []string) ([]int, []error, error) {
		for _, name := range in {
			if err := put(tx, name); err != nil {
				return nil, nil, err
			}
		}
		return make([]int, len(in)), nil, nil
	}}
	var out sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(20 * time.Second) // if nobody kills it
	for c := range 16 {
		all.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				name := fmt.Sprintf("%d-%d", c, n)
				write := func() error {
					return db.Write(context.Background(), func(tx *store.Tx) error { return put(tx, name) })
				}
				if c%2 == 1 {
					write = func() error {
						_, err := batch.Do(context.Background(), name)
						return err
					}
				}
				err := write()
				out.Lock()
				if err != nil {
					fmt.Println("error", err)
				}
				fmt.Println(name)
				out.Unlock()
			}
		})
	}
	all.Wait()
}

func TestAcknowledgedRowsSurviveAKill(t *testing.T) {
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "db")
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var acknowledged []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			acknowledged = append(acknowledged, lines.Text())
			if len(acknowledged) == 1500+round*400 {
				if err := c.Process.Kill(); err != nil { // SIGKILL
					t.Fatal(err)
				}
			}
		}
		_ = c.Wait() // it was killed
		db := storetest.Open(t, "sqlite:"+path, time.Now)
		kept := map[string]bool{}
		for name := range strings.FieldsSeq(names(t, db)) {
			kept[name] = true
		}
		if len(acknowledged) < 1500 {
			t.Fatalf("it wrote %d rows only; the last line is %v", len(acknowledged), acknowledged[max(0, len(acknowledged)-1):])
		}
		// The last line may be torn.
		for _, name := range acknowledged[:len(acknowledged)-1] {
			if !kept[name] {
				t.Fatalf("round %d: %s was acknowledged and is gone", round, name)
			}
		}
	}
}

// copied copies a database that is open, as a machine that loses power would leave it, and
// returns the copy's path.
func copied(t testing.TB, path string) string {
	to := filepath.Join(t.TempDir(), "db")
	for _, end := range []string{"", "-wal"} {
		text, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+end, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// What a Write answered is in the files at once, not when the log is copied back.
func TestAnswerIsAfterTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := storetest.Open(t, "sqlite:"+path, time.Now)
	write(t, db, func(tx *store.Tx) error { return put(tx, "a") })
	if got := names(t, storetest.Open(t, "sqlite:"+copied(t, path), time.Now)); got != "a" {
		t.Errorf("the copy has %q, want a", got)
	}
}

func TestSQLiteFileServesOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	url := "sqlite:" + dir + "/a?b#c%20d"
	db := storetest.Open(t, url, time.Now)
	write(t, db, func(tx *store.Tx) error { return put(tx, "a") })
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: got %v, %v; want 0700", info, err)
	}
	if info, err := os.Stat(dir + "/a?b#c%20d"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: got %v, %v; want 0600", info, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir+"/a?b#c%20d", link); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{url, "sqlite:" + link} {
		if db2, err := store.Open(t.Context(), again, store.Options{}); err == nil || !strings.Contains(err.Error(), "in use by another server") {
			t.Errorf("%s opened twice: got %v, %v", again, db2, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, storetest.Open(t, "sqlite:"+link, time.Now)); got != "a" {
		t.Errorf("opened again: got %q, want a", got)
	}
}

func TestMemoryLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	db := storetest.Open(t, "sqlite::memory:", time.Now)
	write(t, db, func(tx *store.Tx) error { return put(tx, "a") })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// The log stays short though somebody always writes and somebody always reads.
func TestLogDoesNotGrowForEver(t *testing.T) {
	dir := t.TempDir()
	db := storetest.Open(t, "sqlite:"+dir+"/db", time.Now)
	const limit = 500
	db.LogLimit(limit)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(100 * time.Microsecond)
				_ = db.Read(ctx, func(tx *store.Tx) error {
					var n int
					return tx.QueryRow(`SELECT COUNT(*) FROM lease`).Scan(&n)
				})
			}
		})
	}
	var written, most int64
	text := strings.Repeat("x", 40_000)
	for n := 0; written < 10*limit*4096; n++ {
		write(t, db, func(tx *store.Tx) error { return put(tx, fmt.Sprint(n%20, "-", n, text)) })
		written += int64(len(text))
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM lease WHERE name >= $1 AND name < $2`, fmt.Sprint((n+10)%20, "-"), fmt.Sprint((n+10)%20, "."))
			return err
		})
		info, err := os.Stat(dir + "/db-wal")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
		time.Sleep(2 * time.Millisecond)
	}
	cancel()
	readers.Wait()
	if most > written/2 {
		t.Errorf("%d bytes written, and the log had %d", written, most)
	}
}
