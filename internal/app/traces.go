package app

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/matchyard/matchyard/internal/config"
	"github.com/matchyard/matchyard/internal/trace"
)

// flushTime is how long the last spans may take, when everything else has ended.
const flushTime = time.Second

// openTraces makes the tracer, if there is to be one. It stays nil otherwise, which costs
// nothing.
func (a *App) openTraces(ctx context.Context) (err error) {
	if a.config.Traces == config.Off || a.config.Traces == "" {
		return nil
	}
	o := trace.Options{Ratio: a.config.TraceRatio, Version: a.config.Version, Database: "sqlite", Logger: a.logger}
	if a.config.Traces != config.On {
		o.Endpoint = a.config.Traces
	}
	if strings.HasPrefix(a.config.StoreURL(), "postgres") {
		o.Database = "postgresql"
	}
	if a.traces, err = trace.Open(ctx, o); err != nil {
		return err
	}
	for _, c := range []struct {
		name, help string
		pick       func(trace.Stats) int64
	}{
		{"sent", "Spans of traces that a collector has.", func(s trace.Stats) int64 { return s.Sent }},
		{"dropped", "Spans of traces that were dropped: too many waited, or no collector took them.", func(s trace.Stats) int64 { return s.Dropped }},
	} {
		a.metrics.Counter("matchyard_trace_spans_"+c.name+"_total", c.help, func() float64 { return float64(c.pick(a.traces.Stats())) })
	}
	return nil
}

// closeTraces sends the last spans. That it cannot is no failure of the server's.
func (a *App) closeTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := a.traces.Close(ctx); err != nil {
		a.logger.Warn("traces not flushed", slog.Any("error", err))
	}
}
