package evalcase

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzEval: no case crashes or hangs, and a result is always JSON.
func FuzzEval(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := Eval(text)
		if err == nil && !json.Valid(out) {
			t.Errorf("not JSON: %s", out)
		}
	})
}
