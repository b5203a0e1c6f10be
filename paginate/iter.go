package paginate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/smithy-go/middleware"
)

// ErrRepeatedToken is wrapped by the error that ends a range when the service
// returns a token it has returned or been sent before in the same run, which
// would page for ever.
var ErrRepeatedToken = errors.New("the same next token was received twice")

//go:generate go run ./internal/gen -model ../internal/model/gamelift-2015-10-01.json -out ops.go

// Op ties one operation of the service to its token, its page size and its
// items. The values are the package's variables, one for each paged operation,
// such as [DescribePlayerSessions]; there are no others.
type Op[In, Out, Item any] struct {
	name      string
	resultKey string
	maxLimit  int64 // largest page size the model allows, 0 when it names none
	call      func(API, context.Context, *In, ...func(*gamelift.Options)) (*Out, error)
	in        func(*In) (token **string, limit **int32)
	out       func(*Out) (token **string, items *[]Item, meta *middleware.Metadata)
}

// Name is the operation's name, such as "DescribePlayerSessions".
func (op Op[In, Out, Item]) Name() string { return op.name }

// ResultKey is the output member that holds the items, such as "PlayerSessions".
func (op Op[In, Out, Item]) ResultKey() string { return op.resultKey }

// Options say where to begin, how far to go and how to fetch. The zero value
// pages through everything with the service's own page size.
type Options struct {
	// MaxItems ends the listing after so many items, cutting the last page if
	// need be. 0 gives all.
	MaxItems int

	// PageSize is the Limit of each call and wins over the Limit of the input.
	// 0 leaves that as it is.
	PageSize int32

	// StartingToken is where to begin: a resume token of this package, of boto3
	// or of the AWS CLI, or a NextToken of the service (see Parse). It wins over
	// the NextToken of the input. Empty begins there, or at the beginning.
	StartingToken string

	// MaxPages ends the listing after so many calls. 0 sets no bound.
	MaxPages int

	// Prefetch asks for the next page while the present one is being consumed.
	// It never asks for a page that MaxItems or MaxPages rule out. Leaving the
	// range early cancels the call in flight and waits for it to return.
	Prefetch bool

	// TrimLastPage asks for no more items than MaxItems still wants, so that the
	// resume token stands at the start of a page and no item is fetched twice.
	// boto always asks for whole pages. Without a page size the first call asks
	// for MaxItems; set PageSize if that is more than the service hands out.
	TrimLastPage bool

	// OnRepeat says what a token that was seen before in this run does.
	OnRepeat Repeat
}

// Repeat is what to do when the service repeats a token.
type Repeat int

// What OnRepeat takes.
const (
	Fail   Repeat = iota // yield an error wrapping ErrRepeatedToken
	Stop                 // end as if the page were the last, like StopOnDuplicateToken of the SDK
	Ignore               // go on, like the SDK's default; MaxPages can bound it
)

// Stats counts what one range did.
type Stats struct {
	Calls      int // requests that were answered, or failed, retries not counted
	Retries    int // further attempts the SDK made for them
	Items      int // items given out
	EmptyPages int // pages that came without items
}

// Iter pages through one operation. Each range over Pages or Items is a run of
// its own from the start; ResumeToken and Stats speak of the latest. An Iter
// must not be used by two goroutines, or by two ranges nested in each other, at
// the same time.
type Iter[In, Out, Item any] struct {
	op    Op[In, Out, Item]
	call  func(context.Context, *In, ...func(*gamelift.Options)) (*Out, error)
	input In
	opt   Options
	start Token
	at    place
	stats Stats
}

// place is a point in a run: the page asked for by the token from, and how far
// into it we are.
type place struct {
	from    *string // token that asks for this page
	skip    int     // items of it that are not ours, they were given out before
	fetched bool    // the fields below are known
	held    int     // items of it after the skipped ones
	given   int     // of these, the ones handed to the caller
	next    *string // token of the page after it, nil at the end
	owed    int     // skipped items that this page was too short for
}

// New prepares to page through op with the client api, most often a
// *gamelift.Client. It makes no call. The input is copied and never changed; nil
// is an empty input. The error tells of an unusable option or token.
//
// The types follow from op:
//
//	it, err := paginate.New(paginate.ListFleets, client, &gamelift.ListFleetsInput{}, paginate.Options{})
func New[In, Out, Item any](op Op[In, Out, Item], api API, in *In, o Options) (*Iter[In, Out, Item], error) {
	if api == nil {
		return nil, errors.New("paginate: no client")
	}
	return NewFunc(op, func(ctx context.Context, in *In, opts ...func(*gamelift.Options)) (*Out, error) {
		return op.call(api, ctx, in, opts...)
	}, in, o)
}

// NewFunc is New with the operation's method in place of a client, such as
// client.ListFleets or a function around it.
func NewFunc[In, Out, Item any](
	op Op[In, Out, Item],
	call func(context.Context, *In, ...func(*gamelift.Options)) (*Out, error),
	in *In,
	o Options,
) (*Iter[In, Out, Item], error) {
	it := &Iter[In, Out, Item]{op: op, call: call, opt: o}
	switch {
	case op.name == "":
		return nil, errors.New("paginate: the zero Op is no operation")
	case call == nil:
		return nil, fmt.Errorf("paginate: %s: no function to call", op.name)
	case o.MaxItems < 0:
		return nil, fmt.Errorf("paginate: %s: MaxItems is %d", op.name, o.MaxItems)
	case o.PageSize < 0:
		return nil, fmt.Errorf("paginate: %s: PageSize is %d", op.name, o.PageSize)
	case o.MaxPages < 0:
		return nil, fmt.Errorf("paginate: %s: MaxPages is %d", op.name, o.MaxPages)
	case o.OnRepeat < Fail || o.OnRepeat > Ignore:
		return nil, fmt.Errorf("paginate: %s: OnRepeat is %d", op.name, o.OnRepeat)
	}
	if in != nil {
		it.input = *in
	}
	token, _ := op.in(&it.input)
	it.start = Token{Next: nonEmpty(*token)}
	if o.StartingToken != "" {
		start, err := Parse(o.StartingToken)
		if err != nil {
			return nil, fmt.Errorf("paginate: %s: %w", op.name, err)
		}
		it.start = start
	}
	it.reset()
	return it, nil
}

func (it *Iter[In, Out, Item]) reset() {
	it.at = place{from: it.start.Next, skip: it.start.Skip}
	it.stats = Stats{}
}

// Pages ranges over the service's answers, one a call. A page that MaxItems cuts,
// or that a starting token begins inside, is a copy with fewer items; pages
// without items are given too. An error comes once, with a nil page, and ends
// the range. A page counts as consumed as soon as it is given, so a break resumes
// after it.
//
// Options are passed to every call. The context is looked at before each one.
func (it *Iter[In, Out, Item]) Pages(ctx context.Context, opts ...func(*gamelift.Options)) iter.Seq2[*Out, error] {
	return func(yield func(*Out, error) bool) {
		err := it.run(ctx, opts, func(out *Out, items []Item) bool {
			it.at.given = len(items)
			it.stats.Items += len(items)
			return yield(out, nil)
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// Items ranges over the items of all pages. An error comes once, with a zero
// item, and ends the range. After a break, and at any time inside the range,
// ResumeToken stands exactly behind the last item given.
//
// Options are passed to every call. The context is looked at before each call,
// not between the items of a page.
func (it *Iter[In, Out, Item]) Items(ctx context.Context, opts ...func(*gamelift.Options)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := it.run(ctx, opts, func(_ *Out, items []Item) bool {
			for _, item := range items {
				it.at.given++
				it.stats.Items++
				if !yield(item, nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			var none Item
			yield(none, err)
		}
	}
}

// Result is what Collect gathered.
type Result[Out, Item any] struct {
	// Items are the items of all pages, never nil.
	Items []Item

	// ResumeToken continues after the last item; empty at the end of the listing.
	ResumeToken string

	// Output is the answer as one page: the first page's other members, such as
	// FleetId and FleetArn of DescribeFleetLocationAttributes, with Items as its
	// items and ResumeToken as its NextToken. It is nil when no page came.
	Output *Out
}

// Collect gathers all items, as boto's build_full_result does. With an error it
// returns what came before, and ResumeToken asks for the page that failed.
func (it *Iter[In, Out, Item]) Collect(ctx context.Context, opts ...func(*gamelift.Options)) (Result[Out, Item], error) {
	r := Result[Out, Item]{Items: []Item{}}
	err := it.run(ctx, opts, func(out *Out, items []Item) bool {
		it.at.given = len(items)
		it.stats.Items += len(items)
		if r.Output == nil {
			first := *out
			r.Output = &first
		}
		r.Items = append(r.Items, items...)
		return true
	})
	token, more := it.ResumeToken()
	r.ResumeToken = token
	if r.Output != nil {
		next, items, _ := it.op.out(r.Output)
		*next, *items = nil, r.Items
		if more {
			*next = &r.ResumeToken
		}
	}
	return r, err
}

// ResumeToken is the position behind the last item or page given, for the
// StartingToken of a later run here, in boto3 or in the AWS CLI. More is false,
// and the token empty, at the end of the listing. Before the first range it is
// the position at which the range will begin.
//
// After an error the token asks for the page that failed; after
// [ErrRepeatedToken] it holds the token that was repeated.
func (it *Iter[In, Out, Item]) ResumeToken() (token string, more bool) {
	switch p := it.at; {
	case !p.fetched || p.given < p.held:
		return Token{Next: p.from, Skip: p.skip + p.given}.String(), true
	case p.next != nil:
		return Token{Next: p.next, Skip: p.owed}.String(), true
	}
	return "", false
}

// Stats counts what the latest range did so far.
func (it *Iter[In, Out, Item]) Stats() Stats { return it.stats }

// answer is what one call came back with.
type answer[Out any] struct {
	out *Out
	err error
}

// run makes the calls of one range and shows visit every page with those of its
// items that are wanted. It keeps it.at on the page shown; visit counts there
// what it gives out. A false from visit ends the run.
func (it *Iter[In, Out, Item]) run(ctx context.Context, opts []func(*gamelift.Options), visit func(*Out, []Item) bool) error {
	it.reset()
	var ahead chan answer[Out] // carries the next page if that was asked for already
	if it.opt.Prefetch {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer func() {
			cancel()
			if ahead != nil {
				<-ahead
			}
		}()
	}
	seen := make(map[string]bool)
	if it.at.from != nil {
		seen[*it.at.from] = true
	}
	for page := 1; ; page++ {
		var a answer[Out]
		if ahead != nil {
			a, ahead = <-ahead, nil
		} else {
			a = it.fetch(ctx, opts, it.at.from, it.at.skip, it.stats.Items)
		}
		it.stats.Calls++
		it.stats.Retries += it.retries(a)
		if a.err != nil {
			return fmt.Errorf("paginate: %s page %d: %w", it.op.name, page, a.err)
		}
		out, items := it.arrive(a.out)

		done := it.stats.Items + len(items)
		last := it.at.next == nil || page == it.opt.MaxPages || it.opt.MaxItems > 0 && done == it.opt.MaxItems
		repeated := false
		if !last && it.opt.OnRepeat != Ignore {
			repeated = seen[*it.at.next]
			seen[*it.at.next] = true
		}
		if it.opt.Prefetch && !last && !repeated {
			next, owed := it.at.next, it.at.owed
			ahead = make(chan answer[Out], 1)
			go func() { ahead <- it.fetch(ctx, opts, next, owed, done) }()
		}

		if !visit(out, items) {
			return nil
		}
		switch {
		case last:
			return nil
		case repeated && it.opt.OnRepeat == Stop:
			it.at.next = nil
			return nil
		case repeated:
			return fmt.Errorf("paginate: %s page %d: %w: %q", it.op.name, page, ErrRepeatedToken, *it.at.next)
		}
		it.at = place{from: it.at.next, skip: it.at.owed}
	}
}

// fetch asks for the page of the token from. Skip items of it are not wanted,
// and done items were given out before it. It reads nothing of it that changes
// during a run, as it may run beside one.
func (it *Iter[In, Out, Item]) fetch(
	ctx context.Context, opts []func(*gamelift.Options), from *string, skip, done int,
) answer[Out] {
	if err := ctx.Err(); err != nil {
		return answer[Out]{err: err}
	}
	in := it.input
	token, limit := it.op.in(&in)
	*token = from
	if it.opt.PageSize > 0 {
		*limit = new(it.opt.PageSize)
	}
	if it.opt.TrimLastPage && it.opt.MaxItems > 0 {
		size := int64(math.MaxInt32)
		if *limit != nil {
			size = int64(**limit)
		} else if it.op.maxLimit > 0 {
			size = it.op.maxLimit
		}
		wanted := int64(it.opt.MaxItems) - int64(done) + int64(skip)
		*limit = new(int32(min(size, wanted)))
	}
	out, err := it.call(ctx, &in, opts...)
	if err == nil && out == nil {
		err = errors.New("the client returned neither output nor error")
	}
	return answer[Out]{out, err}
}

// arrive notes the page in it.at and returns it with its wanted items. A page
// that loses items is copied, since the one received may not be ours alone.
func (it *Iter[In, Out, Item]) arrive(out *Out) (*Out, []Item) {
	token, list, _ := it.op.out(out)
	items := *list
	if len(items) == 0 {
		it.stats.EmptyPages++
	}
	skipped := min(it.at.skip, len(items))
	it.at.owed = it.at.skip - skipped
	it.at.skip = skipped
	it.at.held = len(items) - skipped
	it.at.next = nonEmpty(*token)
	it.at.fetched = true

	wanted := it.at.held
	if it.opt.MaxItems > 0 {
		wanted = min(wanted, it.opt.MaxItems-it.stats.Items)
	}
	if wanted == len(items) {
		return out, items
	}
	items = items[skipped : skipped+wanted : skipped+wanted]
	page := *out
	_, list, _ = it.op.out(&page)
	*list = items
	return &page, items
}

// nonEmpty makes of an empty token what it means: none.
func nonEmpty(token *string) *string {
	if token == nil || *token == "" {
		return nil
	}
	return token
}

// retries reads from the SDK's records how often it tried again.
func (it *Iter[In, Out, Item]) retries(a answer[Out]) int {
	if gaveUp, ok := errors.AsType[*retry.MaxAttemptsError](a.err); ok {
		return gaveUp.Attempt - 1
	}
	if a.err != nil {
		return 0
	}
	_, _, meta := it.op.out(a.out)
	attempts, _ := retry.GetAttemptResults(*meta)
	return max(0, len(attempts.Results)-1)
}
