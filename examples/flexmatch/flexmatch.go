// Package flexmatch holds example rule sets and the populations of players they are tried
// on: NAME.rules.json and NAME.profile.json belong together, and are the standard streams of
// `matchyard flexmatch simulate --stream NAME`.
package flexmatch

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.json
var files embed.FS

// Names are the standard streams, the simplest first.
func Names() []string { return []string{"1v1", "5v5", "5v5-roles", "aws-sample", "large"} }

// Stream gives the rule set and the profile of a standard stream.
func Stream(name string) (rules, profile []byte, err error) {
	if rules, err = files.ReadFile(name + ".rules.json"); err == nil {
		profile, err = files.ReadFile(name + ".profile.json")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("there is no standard stream %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return rules, profile, nil
}
