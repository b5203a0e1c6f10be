package access

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that must not be seen. However it is printed, logged or encoded, it
// shows as "[secret]"; convert it to a string to reveal it.
type Secret string

const redacted = "[secret]"

// Format prints "[secret]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String is "[secret]".
func (Secret) String() string { return redacted }

// LogValue is "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "[secret]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
