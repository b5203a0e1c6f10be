package console

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// traffic counts requests of the API, for rates and for the 99th percentile of their time.
type traffic struct {
	requests atomic.Int64
	failed   atomic.Int64
	took     [buckets]atomic.Int64

	mu     sync.Mutex
	errors map[fault]*faults
}

// Bucket i holds times up to bound(i); each is a quarter longer than the one before, from
// 50 µs to a minute.
const buckets = 64

func bound(i int) time.Duration {
	return time.Duration(50e3 * math.Pow(1.25, float64(i)))
}

func bucketOf(d time.Duration) int {
	if d <= 50*time.Microsecond {
		return 0
	}
	i := int(math.Ceil(math.Log(float64(d)/50e3) / math.Log(1.25)))
	return min(max(i, 0), buckets-1)
}

// Observe counts an answered request; it has the form of awsapi.Server.Observe.
func (s *Server) Observe(_, _, code string, d time.Duration) {
	s.traffic.requests.Add(1)
	if code != "OK" {
		s.traffic.failed.Add(1)
	}
	s.traffic.took[bucketOf(d)].Add(1)
}

// counted is what traffic had counted at some time.
type counted struct {
	requests, failed int64
	took             [buckets]int64
}

func (t *traffic) look() (c counted) {
	c.requests, c.failed = t.requests.Load(), t.failed.Load()
	for i := range t.took {
		c.took[i] = t.took[i].Load()
	}
	return c
}

// p99 is the time within which 99 of 100 requests since an earlier look were answered; 0 when
// there were none.
func (c counted) p99(earlier counted) time.Duration {
	var total int64
	for i := range c.took {
		total += c.took[i] - earlier.took[i]
	}
	if total == 0 {
		return 0
	}
	left := total / 100 // may take longer
	for i := buckets - 1; i >= 0; i-- {
		if left -= c.took[i] - earlier.took[i]; left < 0 {
			return bound(i)
		}
	}
	return bound(0)
}

// fault is what errors are counted by.
type fault struct{ client, key, operation, code string }

type faults struct {
	count  int64
	latest time.Time
}

const mostFaults = 500

// Failed counts a request that was answered with an error; it has the form of
// awsapi.Server.Failed. key is what the caller said it is.
func (s *Server) Failed(r *http.Request, key, operation, code string) {
	f := fault{clip(clientOf(r.UserAgent()), 64), clip(key, 64), operation, clip(code, 64)}
	t := &s.traffic
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.errors == nil {
		t.errors = map[fault]*faults{}
	}
	have := t.errors[f]
	if have == nil {
		if len(t.errors) >= mostFaults {
			t.forgetOldest()
		}
		have = &faults{}
		t.errors[f] = have
	}
	have.count++
	have.latest = now
}

func (t *traffic) forgetOldest() {
	var oldest fault
	var at time.Time
	for f, n := range t.errors {
		if at.IsZero() || n.latest.Before(at) {
			oldest, at = f, n.latest
		}
	}
	delete(t.errors, oldest)
}

// FaultLine is how often a client met an error.
type FaultLine struct {
	Client    string `json:"client"`
	Key       string `json:"key"`
	Operation string `json:"operation"`
	Code      string `json:"code"`
	Count     int64  `json:"count"`
	Latest    int64  `json:"latest"`
}

func (t *traffic) list() []FaultLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]FaultLine, 0, len(t.errors))
	for f, n := range t.errors {
		list = append(list, FaultLine{f.client, f.key, f.operation, f.code, n.count, n.latest.UnixMilli()})
	}
	slices.SortFunc(list, func(a, b FaultLine) int {
		if a.Count != b.Count {
			return int(min(max(b.Count-a.Count, -1), 1))
		}
		return strings.Compare(a.Client+a.Key+a.Operation+a.Code, b.Client+b.Key+b.Operation+b.Code)
	})
	return list
}

// clientOf is the product that a User-Agent begins with, "Boto3/1.35.0" or "aws-sdk-go-v2/1.30".
func clientOf(agent string) string {
	first, _, _ := strings.Cut(agent, " ")
	if first == "" {
		return "(no User-Agent)"
	}
	return first
}

func clip(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
