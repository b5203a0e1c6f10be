// Package lint holds, as tests, the rules of the source that a linter does not know: which
// package may import which, what rooms may not do, and that every operation of the model
// stands on the index page. It reads files and knows nothing of what they do.
package lint
