package event

import "github.com/matchyard/matchyard/internal/store"

// Ref names an event of a sink.
type Ref struct {
	Sink string
	Key  store.Key
}
