//go:build !race

package conformance

var serverBuild []string
