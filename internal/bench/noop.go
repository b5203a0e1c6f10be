package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/access"
	"github.com/matchyard/matchyard/internal/awsapi"
	"github.com/matchyard/matchyard/internal/awsapi/codec"
	"github.com/matchyard/matchyard/internal/model"
	"github.com/matchyard/matchyard/internal/sigv4"
	"github.com/matchyard/matchyard/internal/store"
)

const noopConns = 64

// noop is a signed request whose operation does nothing, against a net/http handler that
// reads the same body and answers the same bytes.
func noop(ctx context.Context, o Options) error {
	db, err := store.Open(ctx, "sqlite::memory:", store.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	keys := &access.Service{DB: db, Operations: []string{"ListFleets"}}
	if _, _, err := keys.EnsureRoot(ctx, keyID, secret); err != nil {
		return err
	}
	auth := &awsapi.Signed{Keys: keys, Verifier: &sigv4.Verifier{Services: []string{model.SigningName}}}
	api := &awsapi.Server{Auth: auth, Authorize: auth.Authorize, Operations: []awsapi.Operation{
		awsapi.Op(func(context.Context, *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) {
			return &gamelift.ListFleetsOutput{FleetIds: []string{}}, nil
		}),
	}}
	answer := encoderOf[gamelift.ListFleetsInput]("ListFleets").plan.Append(nil, codec.CBOR, &gamelift.ListFleetsInput{})
	bareHandler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/cbor")
		_, _ = w.Write(answer)
	})
	// In turns, so that what else the machine does falls on both.
	const turns = 4
	o.Length /= turns
	var ours, bare float64
	for range turns {
		n, err := requests(ctx, o, api)
		if err != nil {
			return err
		}
		m, err := requests(ctx, o, bareHandler)
		if err != nil {
			return err
		}
		ours, bare = ours+n/turns, bare+m/turns
	}
	// The ratio is of times a request, as the goal is.
	report(o.Out, "noop", ours, "requests/s", bare, bare/ours)
	return nil
}

// requests is how many ListFleets a second a handler answers.
func requests(ctx context.Context, o Options, h http.Handler) (float64, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	defer func() { _ = s.Close() }()
	c := newCaller(l.Addr().String(), "us-west-2", keyID, secret, time.Now())
	f, err := load{
		address: l.Addr().String(), conns: noopConns, length: o.Length,
		next: func(b []byte, _ int64) []byte { return c.append(b, "ListFleets", []byte{0xa0}) },
	}.run(ctx)
	return f.perSecond(), err
}
