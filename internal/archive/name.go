package archive

import (
	"archive/zip"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// names are those an archive used up.
type names struct {
	seen    map[string]bool // by spelling that the system can tell apart; true: a folder
	most    int
	windows bool
}

// take judges an entry's name and kind, and returns the name to unpack it by; "" is the
// folder that everything is unpacked in.
func (n *names) take(f *zip.File) (name string, folder bool, err error) {
	const encrypted, strong = 0x1, 0x40
	name = strings.TrimPrefix(f.Name, "./")
	name, folder = strings.CutSuffix(name, "/")
	shown := printable(f.Name)
	switch mode := f.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return "", false, refuse("%q is a link: an archive must hold the files themselves", shown)
	case mode.IsDir():
		folder = true
	case !mode.IsRegular():
		return "", false, refuse("%q is neither a file nor a folder", shown)
	}
	switch {
	case folder && name == "":
		return "", true, nil
	case f.Flags&(encrypted|strong) != 0:
		return "", false, refuse("%q is encrypted", shown)
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return "", false, refuse("%q is compressed by method %d: only store (0) and deflate (8) are known", shown, f.Method)
	case folder && f.UncompressedSize64 > 0:
		return "", false, refuse("%q is a folder with a content of its own", shown)
	}
	if reason := judge(name, n.windows); reason != "" {
		return "", false, refuse("the name %q %s", shown, reason)
	}
	return name, folder, n.add(name, shown, folder)
}

// judge tells why a name is refused; "" if it is not.
func judge(name string, windows bool) string {
	switch {
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return "is too long"
	case name[0] == '/':
		return "is an absolute path"
	case strings.Contains(name, `\`):
		return "has a backslash: paths are written with slashes"
	case len(name) > 1 && name[1] == ':' && letter(name[0]):
		return "names a drive"
	case strings.ContainsFunc(name, control):
		return "has a control character"
	case strings.Count(name, "/") >= maxDepth:
		return "has too many folders"
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return "has a part that is empty, \".\" or \"..\""
		case len(segment) > maxSegment:
			return "has too long a part"
		case !windows:
		case strings.ContainsAny(segment, `<>:"|?*`):
			return `has one of <>:"|?*, which Windows does not allow`
		case strings.TrimRight(segment, ". ") != segment:
			return "has a part that ends in a dot or a space, which Windows does not allow"
		case device(segment):
			return "is that of a device of Windows"
		}
	}
	return ""
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// control are also the marks that make a name look like another.
func control(r rune) bool {
	return r < ' ' || 0x7f <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

// devices of Windows, with any extension.
var devices = []string{"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}

func device(segment string) bool {
	base, _, _ := strings.Cut(strings.ToLower(segment), ".")
	base = strings.TrimRight(base, " ")
	if slices.Contains(devices, base) {
		return true
	}
	rest, ok := strings.CutPrefix(base, "com")
	if !ok {
		rest, ok = strings.CutPrefix(base, "lpt")
	}
	return ok && utf8.RuneCountInString(rest) == 1 && strings.ContainsAny(rest, "0123456789¹²³")
}

// add uses a name up, and those of the folders it lies in.
func (n *names) add(name, shown string, folder bool) error {
	key := name
	if n.windows {
		key = strings.ToLower(strings.ToUpper(name))
	}
	if was, seen := n.seen[key]; seen && (!was || !folder) {
		return refuse("%q is in the archive twice%s", shown, n.or())
	}
	n.seen[key] = folder
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		was, seen := n.seen[dir]
		if seen && !was {
			return refuse("%q lies in a folder that has the name of a file", shown)
		}
		if seen {
			break // and so are those above
		}
		n.seen[dir] = true
	}
	if len(n.seen) > n.most {
		return refuse("the archive has more than %d files and folders, which are allowed", n.most)
	}
	return nil
}

func (n *names) or() string {
	if n.windows {
		return ", or differs only in case from another name"
	}
	return ""
}
