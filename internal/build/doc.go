// Package build owns builds and scripts (hosting.md 1): their records, the keys and the
// parts of an upload, and which files in the blob store are theirs and may go. It does not
// know the fleets that run a build, which say what they hold, nor the protocol by which
// files come in.
package build
