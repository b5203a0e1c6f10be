package lint

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// pages are the texts for people: path, content.
func pages(t *testing.T, root fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := path.Base(name); name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".md") {
			text, err := fs.ReadFile(root, name)
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	fence = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	title = regexp.MustCompile(`(?m)^#+ (.*)$`)
	plain = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names by which a page's titles can be linked to, as GitHub makes them.
func anchors(page string) map[string]bool {
	names := map[string]bool{}
	for _, m := range title.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		name := plain.ReplaceAllString(strings.ToLower(m[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

func TestLinksLeadSomewhere(t *testing.T) {
	root := repository()
	all := pages(t, root)
	links := 0
	for name, page := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(m[1], "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if _, err := fs.Stat(root, to); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			} else if anchor != "" && !anchors(all[to])[anchor] {
				t.Errorf("%s links to %s, a title that is not there", name, m[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("found %d links in %d pages: the test reads them no more", links, len(all))
	}
}

func TestEachAlertHasItsPage(t *testing.T) {
	rules, err := fs.ReadFile(repository(), "deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := fs.ReadFile(repository(), "docs/operations-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 10 {
		t.Errorf("found %d alerts", len(alerts))
	}
	for _, m := range alerts {
		if !strings.Contains(string(guide), "\n### "+m[1]+"\n") {
			t.Errorf("docs/operations-guide.md does not say what to do about %s", m[1])
		}
	}
}
