package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/matchyard/matchyard/internal/webhook"
)

// Sources are the places a configuration is read from, besides its defaults. The zero value
// has none.
type Sources struct {
	File  string                           // a YAML file; "" for none
	Env   func(name string) (string, bool) // as os.LookupEnv; nil for none
	Flags map[string]any                   // by flag name; a value has its field's type
}

// Default is the configuration that nobody has said anything about.
func Default() Config {
	var c Config
	for _, f := range fields(&c) {
		if text := f.tag.Get("default"); text != "" {
			if err := f.set(text); err != nil {
				panic(fmt.Sprintf("config: default of %s: %v", f.name, err))
			}
		}
	}
	return c
}

// Load reads all sources over the defaults, the file first and the flags last. It does not
// judge the values; see Validate. An unknown key in the file is an error, and so is a
// variable MATCHYARD_… that cannot be read.
func Load(s Sources) (Config, error) {
	c := Default()
	if s.File != "" {
		if err := c.readFile(s.File); err != nil {
			return Config{}, err
		}
	}
	for _, f := range fields(&c) {
		if s.Env != nil {
			if text, ok := s.Env(EnvName(f.name)); ok {
				if err := f.set(text); err != nil {
					return Config{}, fmt.Errorf("%s: %w", EnvName(f.name), err)
				}
			}
		}
		if v, ok := s.Flags[f.name]; ok {
			f.value.Set(reflect.ValueOf(v))
		}
	}
	return c, nil
}

// EnvName is the environment variable of a flag.
func EnvName(flag string) string {
	return "MATCHYARD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func (c *Config) readFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict()); err != nil {
		return fmt.Errorf("config %s: %s", name, yaml.FormatError(err, false, false))
	}
	return nil
}

// field is one field of a Config that users may set.
type field struct {
	name  string
	tag   reflect.StructTag
	value reflect.Value
}

func fields(c *Config) []field {
	var all []field
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if name := tag.Get("yaml"); name != "-" {
			all = append(all, field{name, tag, v.Field(i)})
		}
	}
	return all
}

// set reads a value from text. Lists are separated by commas; what has more form is YAML.
func (f field) set(text string) error {
	switch to := f.value.Addr().Interface().(type) {
	case *string:
		*to = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true or false")
		}
		*to = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("want a whole number")
		}
		*to = n
	case *float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("want a number")
		}
		*to = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("want a duration, as in 90s or 720h")
		}
		*to = d
	case *[]string:
		*to = nil
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*to = append(*to, item)
			}
		}
	case *[]webhook.Sink, *map[string]string:
		if err := yaml.UnmarshalWithOptions([]byte(text), to, yaml.Strict()); err != nil {
			return errors.New(yaml.FormatError(err, false, false))
		}
	default:
		panic(fmt.Sprintf("config: %s has a type that set does not know", f.name))
	}
	return nil
}
