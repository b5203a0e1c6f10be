//go:build race

package conformance

// serverBuild builds the server as the tests are built, so that its races are found too.
var serverBuild = []string{"-race"}
