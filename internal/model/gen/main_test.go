package main

import (
	"bytes"
	"os"
	"testing"
)

func TestCommittedTablesAreThoseOfTheFacts(t *testing.T) {
	text, err := os.ReadFile("../gamelift-2015-10-01.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../tables_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("tables_gen.go is out of date: run go generate ./internal/model")
	}
}

func TestFactsThatAreNoneAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":        `{`,
		"unknown type":   `{"shapes": {"S": {"type": "union"}}}`,
		"broken pattern": `{"shapes": {"S": {"type": "string", "pattern": "(?=x)"}}}`,
	} {
		if code, err := generate([]byte(text)); err == nil {
			t.Errorf("%s gave\n%s", name, code)
		}
	}
}

func TestPatternsInGo(t *testing.T) {
	for pattern, want := range map[string]string{
		`^[a-z]+$`:                      `[a-z]+`,
		`^arn:.*:role\/x`:               `arn:.*:role\/x`,
		`^a$|^b$`:                       `^a$|^b$`,
		`^[\u0031-\u0039]$`:             `[\x{0031}-\x{0039}]`,
		`^[\uD800\uDC00-\uDBFF\uDFFF]$`: `[\x{10000}-\x{10FFFF}]`,
	} {
		if got, err := rewrite(pattern); got != want || err != nil {
			t.Errorf("%s became %s, %v, want %s", pattern, got, err, want)
		}
	}
}
