package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// takes tells whether a value's type is one that set knows.
func (v *Value) takes() bool {
	switch v.target.Addr().Interface().(type) {
	case *string, *bool, *int, *int64, *uint64, *float64, *time.Duration, *[]string, *map[string]string:
		return true
	}
	return false
}

// set reads a value from text. Lists and maps grow: their items are separated by commas and
// by semicolons.
func (v *Value) set(text string) (err error) {
	switch to := v.target.Addr().Interface().(type) {
	case *string:
		*to, err = v.path(text)
	case *bool:
		if *to, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("is true or false, not %q", text)
		}
	case *int:
		*to, err = strconv.Atoi(text)
	case *int64:
		*to, err = strconv.ParseInt(text, 10, 64)
	case *uint64:
		*to, err = strconv.ParseUint(text, 10, 64)
	case *float64:
		*to, err = strconv.ParseFloat(text, 64)
	case *time.Duration:
		if *to, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("is a duration, as 90s or 720h, not %q", text)
		}
	case *[]string:
		if v.isArg {
			*to = append(*to, text)
		} else {
			*to = append(*to, strings.Split(text, ",")...)
		}
	case *map[string]string:
		err = setMap(to, text)
	}
	if errors.Is(err, strconv.ErrSyntax) || errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("is a number, not %q", text)
	}
	return err
}

func setMap(to *map[string]string, text string) error {
	if *to == nil {
		*to = map[string]string{}
	}
	for item := range strings.SplitSeq(text, ";") {
		key, value, ok := strings.Cut(item, "=")
		if !ok {
			return fmt.Errorf("is KEY=VALUE, not %q", item)
		}
		(*to)[key] = value
	}
	return nil
}

// path is a text as its type tag wants it.
func (v *Value) path(text string) (string, error) {
	if v.kind == "" || text == "-" {
		return text, nil
	}
	if rest, ok := strings.CutPrefix(text, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		text = filepath.Join(home, rest)
	}
	path, err := filepath.Abs(text)
	if err != nil || v.kind == "path" {
		return path, err
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("is a folder, and %s is none", path)
	}
	return path, err
}
