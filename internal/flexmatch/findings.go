package flexmatch

import (
	"fmt"
	"strings"
)

// Finding is one thing wrong with a rule set: where, as a JSON path such as
// rules[2].measurements[0] (empty for the whole body), and why.
type Finding struct {
	Path   string
	Reason string
}

func (f Finding) String() string {
	if f.Path == "" {
		return f.Reason
	}
	return f.Path + ": " + f.Reason
}

// Findings is the error of Parse: everything wrong with the rule set, in the order of the
// rule set. It is never empty when it is returned.
type Findings []Finding

func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "; ")
}

// maxFindings keeps the message of a hopeless rule set readable and bounded.
const maxFindings = 100

func (fs *Findings) add(path, format string, args ...any) {
	if len(*fs) < maxFindings {
		*fs = append(*fs, Finding{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
}
