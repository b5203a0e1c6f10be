package awsapi

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
)

// Operation is one operation of the API and the function that carries it out.
type Operation struct {
	facts   *model.Operation
	in, out reflect.Type
	makeIn  func() any
	call    func(ctx context.Context, in any) (any, error)
}

// Name is the operation's name in the model.
func (o Operation) Name() string { return o.facts.Name }

// Op makes an operation of a function. Its name is the input type's without "Input". The
// function is called with an input that satisfies every constraint of the model, with the
// caller's identity in the context (see IdentityFrom); what it returns must be declared on
// the operation (see package apierr), or is answered as something that is. Op panics when
// the model has no such operation.
func Op[In, Out any](f func(context.Context, *In) (*Out, error)) Operation {
	t := reflect.TypeFor[In]()
	name, _ := strings.CutSuffix(t.Name(), "Input")
	facts := model.Find(name)
	if facts == nil {
		panic(fmt.Sprintf("awsapi: %s is the input of no operation", t))
	}
	return Operation{
		facts:  facts,
		in:     t,
		out:    reflect.TypeFor[Out](),
		makeIn: func() any { return new(In) },
		call: func(ctx context.Context, in any) (any, error) {
			out, err := f(ctx, in.(*In))
			if out == nil || err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// Unbuilt makes an operation that reads and checks its input like any other and then says
// that it is not built: an InternalServiceException that names the operation.
func Unbuilt[In, Out any]() Operation {
	var o Operation
	o = Op(func(context.Context, *In) (*Out, error) {
		return nil, apierr.Internal("%s is not built into this server.", o.Name())
	})
	return o
}

// endpoint is an operation in service. Its plans are made at the first request, to keep
// them out of the start.
type endpoint struct {
	Operation
	once    sync.Once
	inPlan  *codec.Plan
	outPlan *codec.Plan // nil for operations without output
}

func (e *endpoint) plans() (in, out *codec.Plan) {
	e.once.Do(func() {
		e.inPlan = codec.PlanOf(e.in, e.facts.Input)
		if e.facts.Output != nil {
			e.outPlan = codec.PlanOf(e.out, e.facts.Output)
		}
	})
	return e.inPlan, e.outPlan
}
