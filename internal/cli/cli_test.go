package cli_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/cli"
)

type place struct {
	Data string `type:"path" help:"The folder."`
}

type settings struct {
	TLSHosts []string `yaml:"tls-hosts" default:"a,b" help:"Names."`
	Level    string   `yaml:"level" default:"info" enum:"debug,info" help:"The level."`
	Hidden   string   `yaml:"-" cli:"-"`
	Secret   bool     `hidden:""`
}

type serveCmd struct {
	place
	Settings settings `embed:""`
	unseen   int
}

type addCmd struct {
	Name    string            `arg:"" help:"Whose."`
	Files   []string          `arg:"" optional:"" name:"file" help:"Of what."`
	Count   int64             `short:"c" default:"3" placeholder:"N" env:"-" help:"How many."`
	Share   float64           `env:"SHARE,PART" help:"A part."`
	Seed    uint64            `env:"-"`
	Wait    time.Duration     `default:"2s" env:"-" help:"How long."`
	Quick   bool              `short:"q" env:"-" help:"Do not wait."`
	Verbose bool              `short:"v" env:"-"`
	Tags    map[string]string `env:"-" placeholder:"KEY=VALUE"`
	Left    string            `xor:"side" env:"-"`
	Right   string            `xor:"side" env:"-"`
	Root    string            `required:"" type:"existingdir" placeholder:"DIR" help:"Where."`
}

func (*addCmd) Help() string { return "For example: add." }

type commands struct {
	Serve serveCmd `cmd:"" help:"Serve."`
	Thing struct {
		Add    addCmd `cmd:"" help:"Add a thing."`
		DryRun struct {
			Words []string `arg:"" optional:"" passthrough:""`
		} `cmd:"" hidden:""`
	} `cmd:"" help:"Things."`
}

func parse(args ...string) (*cli.Context, *commands, error) {
	var c commands
	line := cli.New("yard", "A yard.", "YARD", &c)
	return line, &c, line.Parse(args)
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	line, c, err := parse("thing", "add", "--root", dir, "ann", "-c", "-7", "-qv", "--wait=1m", "one.txt", "--share", "0.5", "--tags", "a=1;b=2", "--tags=c=3=4",
		"--seed", "18446744073709551615", "--", "--two.txt", "--")
	if err != nil {
		t.Fatal(err)
	}
	want := addCmd{
		Name: "ann", Files: []string{"one.txt", "--two.txt", "--"}, Count: -7, Share: 0.5, Seed: 1<<64 - 1, Wait: time.Minute, Quick: true, Verbose: true,
		Tags: map[string]string{"a": "1", "b": "2", "c": "3=4"}, Root: dir,
	}
	if !reflect.DeepEqual(c.Thing.Add, want) {
		t.Errorf("got  %+v\nwant %+v", c.Thing.Add, want)
	}
	if line.Command.Target() != any(&c.Thing.Add) || line.Command.Name != "add" {
		t.Errorf("the command is %s", line.Command.Name)
	}
	_, c, err = parse("thing", "add", "ann", "--root="+dir, "--quick=false", "-c4", "--count=5")
	if err != nil || c.Thing.Add.Count != 5 || c.Thing.Add.Quick {
		t.Errorf("got %+v, %v", c.Thing.Add, err)
	}
	_, c, err = parse("thing", "dry-run", "--help", "--", "x")
	if got := c.Thing.DryRun.Words; err != nil || !reflect.DeepEqual(got, []string{"--help", "--", "x"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDefaultsEnvironmentAndFlags(t *testing.T) {
	t.Setenv("YARD_LEVEL", "debug")
	t.Setenv("PART", "0.25")
	t.Setenv("YARD_DATA", "~/yard")
	t.Setenv("YARD_ROOT", t.TempDir())
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	line, c, err := parse("serve")
	if err != nil || c.Serve.Settings.Level != "debug" || !reflect.DeepEqual(c.Serve.Settings.TLSHosts, []string{"a", "b"}) || c.Serve.Data != filepath.Join(home, "yard") {
		t.Errorf("got %+v, %v", c.Serve, err)
	}
	if given := line.Given(); len(given) != 0 {
		t.Errorf("given are %v", given)
	}
	line, c, err = parse("serve", "--level=info", "--tls-hosts", "x,y", "--tls-hosts=z", "--data", "here", "--secret")
	here, _ := filepath.Abs("here")
	want := map[string]any{"level": "info", "tls-hosts": []string{"x", "y", "z"}, "data": here, "secret": true}
	if err != nil || !reflect.DeepEqual(line.Given(), want) || c.Serve.Data != here || c.Serve.unseen != 0 {
		t.Errorf("given are %v, want %v; %v", line.Given(), want, err)
	}
	_, c, err = parse("thing", "add", "ann")
	if err != nil || c.Thing.Add.Share != 0.25 || c.Thing.Add.Wait != 2*time.Second || c.Thing.Add.Count != 3 || c.Thing.Add.Root == "" {
		t.Errorf("got %+v, %v", c.Thing.Add, err)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHARE", "half")
	for _, c := range []struct{ line, want string }{
		{"", `expected one of "serve", "thing"`},
		{"thing", `expected one of "add"`},
		{"serv", `unexpected argument serv, did you mean "serve"?`},
		{"nothing at all", `unexpected argument nothing`},
		{"serve extra", `unexpected argument extra`},
		{"serve --levl x", `unknown flag --levl, did you mean "--level"?`},
		{"serve -x", `unknown flag -x`},
		{"serve --level", `--level needs a value`},
		{"serve --level --secret", `--level needs a value`},
		{"serve --level loud", `--level must be one of ["debug" "info"], not "loud"`},
		{"serve --level info --level loud", `--level must be one of ["debug" "info"], not "loud"`},
		{"serve --secret=perhaps", `--secret is true or false, not "perhaps"`},
		{"thing add", `SHARE is a number, not "half"`},
		{"thing add --share 1", `missing flags: --root=DIR`},
		{"thing add --share 1 --root " + dir, `expected "<name>"`},
		{"thing add --share 1 --root " + file, `--root is a folder, and ` + file + ` is none`},
		{"thing add --root " + dir + "/none", `no such file`},
		{"thing add --share x", `--share is a number, not "x"`},
		{"thing add -c 9223372036854775808", `--count is a number`},
		{"thing add --wait soon", `--wait is a duration, as 90s or 720h, not "soon"`},
		{"thing add --tags a", `--tags is KEY=VALUE, not "a"`},
		{"thing add ann --share 1 --root " + dir + " --left a --right b", `--right and --left can't be used together`},
	} {
		_, _, err := parse(strings.Fields(c.line)...)
		if err == nil || !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), strings.Replace(c.want, "--right and --left", "--left and --right", 1)) {
			t.Errorf("%q: %v, want %s", c.line, err, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "60")
	help := func(args ...string) string {
		line, _, err := parse(args...)
		if err != nil || !line.Help {
			t.Fatalf("%q: %v", args, err)
		}
		var b strings.Builder
		if err := line.Command.WriteHelp(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := help("thing", "add", "-h"), `Usage: yard thing add --root=DIR <name> [<file> ...] [flags]

Add a thing.

For example: add.

Arguments:
  <name>          Whose.
  [<file> ...]    Of what.

Flags:
  -h, --help                  Show context-sensitive help.
  -c, --count=N               How many.
      --share=SHARE           A part ($SHARE, $PART).
      --seed=SEED
      --wait=2s               How long.
  -q, --quick                 Do not wait.
  -v, --verbose
      --tags=KEY=VALUE;...
      --left=LEFT
      --right=RIGHT
      --root=DIR              Where ($YARD_ROOT).
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := help("--help"), `Usage: yard <command>

A yard.

Flags:
  -h, --help    Show context-sensitive help.

Commands:
  serve [flags]
    Serve.

  thing add --root=DIR <name> [<file> ...] [flags]
    Add a thing.

Run "yard <command> --help" for more information on a
command.
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := help("serve", "--level", "debug", "--help", "--nonsense"); strings.Contains(got, "secret") || !strings.Contains(got, "--tls-hosts=a,b,...") || !strings.Contains(got, "($YARD_TLS_HOSTS)") {
		t.Errorf("got\n%s", got)
	}
}

func TestWrongTagsPanic(t *testing.T) {
	for name, into := range map[string]any{
		"a type": &struct{ At time.Time }{},
		"a default": &struct {
			N int `default:"x"`
		}{},
		"a word": &struct {
			S string `default:"x" enum:"a,b"`
		}{},
		"in commands": &struct {
			C struct{ P *int } `cmd:""`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New takes it")
				}
			}()
			cli.New("yard", "", "YARD", into)
		})
	}
}
