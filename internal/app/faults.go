package app

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/model"
)

// fault is what a developer asked to go wrong, to see how a client takes it.
type fault struct {
	Op    string        `json:"op"`              // operation, or a pattern as in "Describe*"
	Code  string        `json:"code,omitempty"`  // the error that is answered instead
	Drop  bool          `json:"drop,omitempty"`  // or the connection is closed without an answer
	Delay time.Duration `json:"-"`               // before that, or before the operation itself
	Wait  string        `json:"delay,omitempty"` // Delay, to be read
	Left  int           `json:"left"`            // requests it still is for
}

// faults are those of a development server. The zero value has none.
type faults struct {
	mu   sync.Mutex
	list []*fault
}

// Bounds of what may be asked for.
const (
	mostFaults   = 100
	mostFaulty   = 1_000_000 // requests of one
	longestDelay = 10 * time.Minute
)

// inject is an awsapi.Server's Authorize: it makes the first fault that is for the operation
// happen.
func (f *faults) inject(ctx context.Context, _ awsapi.Identity, op string, _ any) error {
	now, ok := f.take(op)
	if !ok {
		return nil
	}
	if now.Delay > 0 {
		timer := time.NewTimer(now.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if now.Drop {
		panic(http.ErrAbortHandler)
	}
	if now.Code == "" {
		return nil
	}
	status := http.StatusBadRequest
	if now.Code == "InternalServiceException" || now.Code == "InternalFailure" {
		status = http.StatusInternalServerError
	}
	if now.Code == "ServiceUnavailable" {
		status = http.StatusServiceUnavailable
	}
	return &apierr.Error{Code: now.Code, Status: status, Message: "This error was asked for with POST /faults."}
}

func (f *faults) take(op string) (fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, one := range f.list {
		if match, err := path.Match(one.Op, op); err != nil || !match {
			continue
		}
		one.Left--
		if one.Left == 0 {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
		}
		return *one, true
	}
	return fault{}, false
}

func (f *faults) all() []fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]fault, 0, len(f.list))
	for _, one := range f.list {
		list = append(list, *one)
	}
	return list
}

// readFault reads a fault from a query: op, one of code, drop=true and delay at least, and
// count.
func readFault(query map[string][]string) (*fault, error) {
	f := &fault{Left: 1}
	for name, values := range query {
		text := values[len(values)-1]
		var err error
		switch name {
		case "op":
			f.Op = text
		case "code":
			f.Code = text
		case "drop":
			f.Drop, err = strconv.ParseBool(text)
		case "delay":
			f.Delay, err = time.ParseDuration(text)
		case "count":
			f.Left, err = strconv.Atoi(text)
		default:
			return nil, fmt.Errorf("%s: there are op, code, drop, delay and count", name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q cannot be read", name, text)
		}
	}
	switch {
	case !matchesAny(f.Op):
		return nil, fmt.Errorf("op: %q is no operation and no pattern of one, as CreatePlayerSession and Describe* are", f.Op)
	case f.Code == "" && !f.Drop && f.Delay == 0:
		return nil, fmt.Errorf("code: one of code, drop and delay is needed")
	case f.Code != "" && f.Drop:
		return nil, fmt.Errorf("drop: a dropped request has no code")
	case f.Delay < 0 || f.Delay > longestDelay:
		return nil, fmt.Errorf("delay: %v is not between 0 and %v", f.Delay, longestDelay)
	case f.Left < 1 || f.Left > mostFaulty:
		return nil, fmt.Errorf("count: %d is not between 1 and %d", f.Left, mostFaulty)
	}
	if f.Delay > 0 {
		f.Wait = f.Delay.String()
	}
	return f, nil
}

// matchesAny tells whether a pattern is for some operation.
func matchesAny(pattern string) bool {
	for _, o := range model.Operations {
		if match, err := path.Match(pattern, o.Name); err == nil && match {
			return true
		}
	}
	return false
}

// handle adds GET, POST and DELETE /faults.
func (f *faults) handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { sayJSON(w, http.StatusOK, f.all()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		one, err := readFault(r.URL.Query())
		if err != nil {
			sayJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		f.mu.Lock()
		full := len(f.list) >= mostFaults
		if !full {
			f.list = append(f.list, one)
		}
		f.mu.Unlock()
		if full {
			sayJSON(w, http.StatusConflict, map[string]string{"error": fmt.Sprintf("there are %d faults already; DELETE /faults removes them", mostFaults)})
			return
		}
		sayJSON(w, http.StatusOK, f.all())
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		f.list = nil
		f.mu.Unlock()
		sayJSON(w, http.StatusOK, f.all())
	})
}
