package trace

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otel "go.opentelemetry.io/otel/trace"
)

// Span is a piece of work that is being traced. The zero Span is of work that is not; its
// methods do nothing.
type Span struct {
	span otel.Span // nil when nobody will see it
}

// of leaves out spans that are not kept.
func of(s otel.Span) Span {
	if !s.IsRecording() {
		return Span{}
	}
	return Span{s}
}

// On tells whether anybody will see the span: what is costly to find out is only worth it
// then.
func (s Span) On() bool { return s.span != nil }

// Name renames the span.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Attribute is a name and a value.
type Attribute = attribute.KeyValue

// Str is an attribute with a text.
func Str(key, value string) Attribute { return attribute.String(key, value) }

// Int is an attribute with a number.
func Int(key string, value int) Attribute { return attribute.Int(key, value) }

// With sets attributes at once, which costs less than one by one.
func (s Span) With(list ...Attribute) {
	if s.span != nil {
		s.span.SetAttributes(list...)
	}
}

// Str sets an attribute. An empty value is none.
func (s Span) Str(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Int sets an attribute.
func (s Span) Int(key string, value int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, value))
	}
}

// Fail says that the work failed, and by what kind of error. Its text stays in the log: it
// may hold what others sent.
func (s Span) Fail(kind string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String("error.type", kind))
		s.span.SetStatus(codes.Error, kind)
	}
}

// End ends the span. Nothing is to be done with it afterwards.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
