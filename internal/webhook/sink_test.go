package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/matchyard/matchyard/internal/webhook"
)

func TestCheckNamesTheSinkAndTheKey(t *testing.T) {
	good := []webhook.Sink{
		{Name: "hook", Kind: webhook.Webhook, URL: "https://backend.example/events?tenant=a", Secret: secret, Timeout: time.Minute, Concurrency: 1},
		{Name: "hook-2", Kind: webhook.Webhook, URL: "http://10.0.0.1", Secrets: []string{secret, secret}, AllowPrivate: true},
		{Name: "sns", Kind: webhook.SNS, URL: "http://backend.example", Events: []string{"*"}, Topic: topic},
		{Name: "sqs", Kind: webhook.SQS, Visibility: time.Hour, Envelope: "sns", Topic: topic},
		{Name: "fifo", Kind: webhook.SQS, Queue: "q.fifo", MaxAge: time.Hour},
		{Name: "file", Kind: webhook.File, Path: "events.jsonl"},
	}
	if err := webhook.Check(good, map[string]string{topic: "sqs"}); err != nil {
		t.Errorf("good ones: %v", err)
	}
	valid := good[0]
	for want, change := range map[string]func(s *webhook.Sink){
		"sinks: number 1: name: ":      func(s *webhook.Sink) { s.Name = "" },
		"sinks: a b: name: ":           func(s *webhook.Sink) { s.Name = "a b" },
		"sinks: hook: kind: ":          func(s *webhook.Sink) { *s = webhook.Sink{Name: "hook", Kind: "fax"} },
		"sinks: hook: url: ":           func(s *webhook.Sink) { s.URL = "ftp://user:hunter2@x" },
		"sinks: hook: url: want":       func(s *webhook.Sink) { s.URL = "https:///path" },
		"sinks: hook: url: a fragment": func(s *webhook.Sink) { s.URL += "#x" },
		"sinks: hook: url: plain":      func(s *webhook.Sink) { s.URL = "http://backend.example" },
		"sinks: hook: secret: missing": func(s *webhook.Sink) { s.Secret = "" },
		"sinks: hook: secret: one has": func(s *webhook.Sink) { s.Secrets = []string{"hunter2"} },
		"sinks: hook: timeout: ":       func(s *webhook.Sink) { s.Timeout = -1 },
		"sinks: hook: concurrency: ":   func(s *webhook.Sink) { s.Concurrency = 1001 },
		"sinks: hook: max-age: ":       func(s *webhook.Sink) { s.MaxAge = -1 },
		"sinks: hook: events: ":        func(s *webhook.Sink) { s.Events = []string{""} },
		"sinks: hook: path: ":          func(s *webhook.Sink) { s.Path = "x" },
		"sinks: hook: queue: ":         func(s *webhook.Sink) { s.Queue = "x" },
		"sinks: sqs: queue: ":          func(s *webhook.Sink) { *s = webhook.Sink{Name: "sqs", Kind: webhook.SQS, Queue: "a/b"} },
		"sinks: sqs: visibility: ":     func(s *webhook.Sink) { *s = webhook.Sink{Name: "sqs", Kind: webhook.SQS, Visibility: 13 * time.Hour} },
		"sinks: sqs: envelope: ":       func(s *webhook.Sink) { *s = webhook.Sink{Name: "sqs", Kind: webhook.SQS, Envelope: "x"} },
		"sinks: sqs: url: ":            func(s *webhook.Sink) { *s = webhook.Sink{Name: "sqs", Kind: webhook.SQS, URL: "https://x"} },
		"sinks: file: path: missing":   func(s *webhook.Sink) { *s = webhook.Sink{Name: "file", Kind: webhook.File} },
	} {
		s := valid
		change(&s)
		err := webhook.Check([]webhook.Sink{s}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for want, list := range map[string][]webhook.Sink{
		"sinks: hook: name: another":  {valid, valid},
		"sinks: a: queue: another":    {{Name: "q", Kind: webhook.SQS}, {Name: "a", Kind: webhook.SQS, Queue: "q"}},
		"sinks: other: path: another": {good[5], {Name: "other", Kind: webhook.File, Path: good[5].Path}},
	} {
		if err := webhook.Check(list, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for want, targets := range map[string]map[string]string{
		"targets: " + topic + ": there is no sink": {topic: "none"}, `targets: "x" is not`: {"x": "hook"},
	} {
		if err := webhook.Check(good, targets); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
