package agent

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Where builds believe to be (hosting.md 1.4, 2.13). The instance's own folders stand in.
const (
	gameRoot     = "/local/game"
	metadataRoot = "/local/gamemetadata"
)

// inside is the path of a launch path within the build, or "".
func inside(launchPath string) string {
	clean := path.Clean(launchPath)
	rest, ok := strings.CutPrefix(clean, gameRoot+"/")
	if !ok || !filepath.IsLocal(rest) {
		return ""
	}
	return rest
}

// executable is the file of a launch path. It is one of the build: links out of the
// instance's folder lead nowhere.
func (i *instance) executable(launchPath string) (string, error) {
	return executable(i.game(), launchPath, i.start.Build.Script)
}

func executable(game, launchPath string, script bool) (string, error) {
	name := inside(launchPath)
	if name == "" {
		return "", fmt.Errorf("%w: a launch path begins with %s/", errInvalidPath, gameRoot)
	}
	root, err := os.OpenRoot(game)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }() // it was only read
	f, err := root.Open(name)
	if err != nil {
		return "", errInvalidPath
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: it is no regular file", errInvalidPath)
	}
	if !script {
		if err := runnable(f, info); err != nil {
			return "", err
		}
	}
	return filepath.Join(game, name), nil
}

// runnable refuses files that this machine would not run.
func runnable(f *os.File, info os.FileInfo) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if info.Mode()&0o111 == 0 {
		return errors.New("it has no execute permission; set it before the build is zipped, or by chmod in install.sh")
	}
	head := make([]byte, 4)
	switch _, err := io.ReadFull(f, head); {
	case err != nil:
		return errors.New("it is too short to be a program")
	case string(head[:2]) == "MZ":
		return errors.New("it is a program for Windows")
	case string(head[:2]) == "#!":
		return nil
	case string(head) != elf.ELFMAG:
		return nil // the system says what it thinks of it
	}
	if runtime.GOOS != "linux" {
		return nil
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	own := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if own != elf.EM_NONE && e.Machine != own && (own != elf.EM_X86_64 || e.Machine != elf.EM_386) {
		return fmt.Errorf("it is a program for %v; this machine is %v", e.Machine, own)
	}
	return nil
}

// scripted makes a launch of a script one of node.
func scripted(script string, args []string) (string, []string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", nil, errors.New("a Realtime script needs node, which is not on this host")
	}
	return node, append([]string{script}, args...), nil
}

// arguments are a process's parameters, split at spaces as the AWS agent does (protocol 8.5);
// quotes mean nothing. {port} is the process's port.
func (i *instance) arguments(parameters string, port int) []string {
	args := strings.Fields(parameters)
	for n, arg := range args {
		args[n] = i.localize(strings.ReplaceAll(arg, "{port}", strconv.Itoa(port)))
	}
	return args
}

// localize puts the instance's folders where a text names the places builds believe in.
func (i *instance) localize(text string) string {
	for _, r := range []struct{ from, to string }{{metadataRoot, filepath.Join(i.dir, "gamemetadata")}, {gameRoot, i.game()}} {
		for at := 0; ; {
			n := strings.Index(text[at:], r.from)
			if n < 0 {
				break
			}
			end := at + n + len(r.from)
			if end < len(text) && text[end] != '/' && !strings.ContainsRune(`,;:'"]})`, rune(text[end])) {
				at = end // "/local/gameplay" is something else
				continue
			}
			text = text[:at+n] + r.to + text[end:]
			at += n + len(r.to)
		}
	}
	return text
}

// base is the environment of games and install scripts, before what is theirs alone.
func base(dir string) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + filepath.Join(dir, "game"), "TMPDIR=" + filepath.Join(dir, "tmp"), "LANG=C.UTF-8",
	}
	if runtime.GOOS == "windows" {
		for _, name := range []string{"PATH", "SYSTEMROOT", "COMSPEC", "PATHEXT", "WINDIR"} {
			env = append(env, name+"="+os.Getenv(name))
		}
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=/") })
	}
	return env
}
