package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
)

// Kind is how a sink gets its events.
type Kind string

// The kinds of sinks.
const (
	Webhook Kind = "webhook" // POST of the event, signed by HMAC
	SNS     Kind = "sns"     // POST of an SNS notification, after a confirmed subscription
	SQS     Kind = "sqs"     // fetched from a queue on the API's address
	File    Kind = "file"    // a line of a file
)

// Sink is a receiver of events, as the configuration has it.
type Sink struct {
	// Name is what the log, the admin pages and Targets call it. What is on its way to a
	// sink belongs to its name.
	Name string `yaml:"name"`
	Kind Kind   `yaml:"kind"`
	// Events are the events it gets: "*", a detail-type, or a detail-type and the detail's
	// type with a slash between. Without any it gets all, or, if Targets name it, those sent
	// to its topics and no others.
	Events []string `yaml:"events"`

	// URL is where a webhook and an SNS receiver listen.
	URL string `yaml:"url"`
	// Secret and Secrets sign what is sent to URL: with each of them, so that a receiver can
	// go from one to the next. A webhook needs one.
	Secret  string   `yaml:"secret"`
	Secrets []string `yaml:"secrets"`
	// AllowPrivate lets URL lead to loopback, link-local and private addresses, and lets a
	// webhook be plain HTTP.
	AllowPrivate bool `yaml:"allow-private"`
	// Timeout is how long one try may take; 0 means 10 seconds.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many tries there are at a time; 0 means 16.
	Concurrency int `yaml:"concurrency"`
	// Topic is the ARN that an SNS receiver's subscription is for, and that events without a
	// target of their own come from. Default: a topic of the sink's name.
	Topic string `yaml:"topic"`

	// Queue is the name of an SQS queue; default: the sink's name.
	Queue string `yaml:"queue"`
	// Visibility is how long a received message stays hidden; 0 means 30 seconds.
	Visibility time.Duration `yaml:"visibility"`
	// Envelope is what a queue's messages are: "event" (the default), as from EventBridge, or
	// "sns", the event in a notification, as from a queue that subscribes to a topic.
	Envelope string `yaml:"envelope"`

	// Path is the file that lines are appended to.
	Path string `yaml:"path"`

	// MaxAge is when an event that cannot be delivered is given up; 0 means 3 days.
	MaxAge time.Duration `yaml:"max-age"`
}

// Defaults and bounds of a sink's settings.
const (
	defaultTimeout     = 10 * time.Second
	mostTimeout        = 5 * time.Minute
	defaultConcurrency = 16
	mostConcurrency    = 1000
	defaultVisibility  = 30 * time.Second
	defaultMaxAge      = 3 * 24 * time.Hour
	leastSecret        = 16 // bytes

	// mostVisibility is SQS's.
	mostVisibility = 12 * time.Hour
)

func (s Sink) withDefaults(home arn.Home) Sink {
	s.Timeout = cmp.Or(s.Timeout, defaultTimeout)
	s.Concurrency = cmp.Or(s.Concurrency, defaultConcurrency)
	s.Visibility = cmp.Or(s.Visibility, defaultVisibility)
	s.MaxAge = cmp.Or(s.MaxAge, defaultMaxAge)
	s.Queue = cmp.Or(s.Queue, s.Name)
	s.Topic = cmp.Or(s.Topic, "arn:aws:sns:"+home.Region+":"+home.Account+":"+s.Name)
	return s
}

// secrets are all that sign.
func (s Sink) secrets() []string {
	if s.Secret == "" {
		return s.Secrets
	}
	return append([]string{s.Secret}, s.Secrets...)
}

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	// Queue names are SQS's; ".fifo" may stand at the end.
	queueForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}(\.fifo)?$`)
)

// Check tells everything that is wrong with sinks and with targets, which map topics to
// sinks; each message begins with the key at fault.
func Check(sinks []Sink, targets map[string]string) error {
	var errs []error
	names, queues, paths := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, s := range sinks {
		wrong := func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("sinks: %s: %s: %s", cmp.Or(s.Name, fmt.Sprintf("number %d", i+1)), field, fmt.Sprintf(format, args...)))
		}
		s.check(wrong)
		once := func(seen map[string]bool, field, value string) {
			if value != "" && seen[value] {
				wrong(field, "another sink has %q", value)
			}
			seen[value] = true
		}
		once(names, "name", s.Name)
		switch s.Kind {
		case SQS:
			once(queues, "queue", cmp.Or(s.Queue, s.Name))
		case File:
			once(paths, "path", s.Path)
		case Webhook, SNS: // two may send to one URL
		}
	}
	for topic, name := range targets {
		if !names[name] {
			errs = append(errs, fmt.Errorf("targets: %s: there is no sink %q", topic, name))
		}
		if !strings.HasPrefix(topic, "arn:") {
			errs = append(errs, fmt.Errorf("targets: %q is not the ARN of a topic", topic))
		}
	}
	return errors.Join(errs...)
}

func (s Sink) check(wrong func(field, format string, args ...any)) {
	if !nameForm.MatchString(s.Name) {
		wrong("name", "%q is not a name of letters, digits, - and _", s.Name)
	}
	// What a kind has no use for is a mistake.
	for _, f := range []struct {
		name  string
		given bool
		kinds []Kind
	}{
		{"url", s.URL != "", []Kind{Webhook, SNS}},
		{"secret", s.Secret != "" || len(s.Secrets) > 0, []Kind{Webhook, SNS}},
		{"allow-private", s.AllowPrivate, []Kind{Webhook, SNS}},
		{"timeout", s.Timeout != 0, []Kind{Webhook, SNS}},
		{"concurrency", s.Concurrency != 0, []Kind{Webhook, SNS}},
		{"topic", s.Topic != "", []Kind{SNS, SQS}},
		{"queue", s.Queue != "", []Kind{SQS}},
		{"visibility", s.Visibility != 0, []Kind{SQS}},
		{"envelope", s.Envelope != "", []Kind{SQS}},
		{"path", s.Path != "", []Kind{File}},
	} {
		if f.given && !slices.Contains(f.kinds, s.Kind) {
			wrong(f.name, "a sink of kind %q has none", s.Kind)
		}
	}
	switch s.Kind {
	case Webhook, SNS:
		s.checkHTTP(wrong)
	case SQS:
		if q := cmp.Or(s.Queue, s.Name); !queueForm.MatchString(q) {
			wrong("queue", "%q is not the name of a queue", q)
		}
		if s.Visibility < 0 || s.Visibility > mostVisibility {
			wrong("visibility", "%s is not between 0 and %s", s.Visibility, mostVisibility)
		}
		if s.Envelope != "" && s.Envelope != "event" && s.Envelope != "sns" {
			wrong("envelope", "%q is neither event nor sns", s.Envelope)
		}
	case File:
		if s.Path == "" {
			wrong("path", "missing")
		}
	default:
		wrong("kind", "%q is none of webhook, sns, sqs, file", s.Kind)
	}
	if s.MaxAge < 0 {
		wrong("max-age", "%s is negative", s.MaxAge)
	}
	if slices.Contains(s.Events, "") {
		wrong("events", "an empty name")
	}
}

func (s Sink) checkHTTP(wrong func(field, format string, args ...any)) {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		wrong("url", "want https://HOST/PATH") // its text may hold a password
	case u.Fragment != "":
		wrong("url", "a fragment is not sent")
	case u.Scheme == "http" && s.Kind == Webhook && !s.AllowPrivate:
		wrong("url", "plain http is for receivers on one's own network; see allow-private")
	}
	if s.Kind == Webhook && len(s.secrets()) == 0 {
		wrong("secret", "missing: without one nobody can tell who sends")
	}
	for _, secret := range s.secrets() {
		if len(secret) < leastSecret {
			wrong("secret", "one has fewer than %d bytes", leastSecret)
		}
	}
	if s.Timeout < 0 || s.Timeout > mostTimeout {
		wrong("timeout", "%s is not between 0 and %s", s.Timeout, mostTimeout)
	}
	if s.Concurrency < 0 || s.Concurrency > mostConcurrency {
		wrong("concurrency", "%d is not between 0 and %d", s.Concurrency, mostConcurrency)
	}
}

// Route is the event.Log's for these sinks and targets: who wants an event. It is nil when
// there are no sinks.
func Route(sinks []Sink, targets map[string]string) func(eventType, kind, target string) []string {
	if len(sinks) == 0 {
		return nil
	}
	type rule struct {
		name   string
		all    bool
		events map[string]bool
	}
	var rules []rule
	for _, s := range sinks {
		r := rule{name: s.Name, all: slices.Contains(s.Events, "*"), events: map[string]bool{}}
		targeted := slices.Contains(slices.Collect(maps.Values(targets)), s.Name)
		if len(s.Events) == 0 && !targeted {
			r.all = true
		}
		for _, e := range s.Events {
			r.events[e] = true
		}
		rules = append(rules, r)
	}
	return func(eventType, kind, target string) (names []string) {
		topic := ""
		if target != "" {
			topic = targets[target]
		}
		for _, r := range rules {
			if r.all || r.name == topic || r.events[eventType] || kind != "" && r.events[eventType+"/"+kind] {
				names = append(names, r.name)
			}
		}
		return names
	}
}
