package compute

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/store"
)

var errUnbuilt = errors.New("being built")

func (s *Service) RegisterCompute(ctx context.Context, in *gamelift.RegisterComputeInput) (*gamelift.RegisterComputeOutput, error) {
	return nil, errUnbuilt
}

func (s *Service) DeregisterCompute(ctx context.Context, in *gamelift.DeregisterComputeInput) (*gamelift.DeregisterComputeOutput, error) {
	return nil, errUnbuilt
}

func (s *Service) DescribeCompute(ctx context.Context, in *gamelift.DescribeComputeInput) (*gamelift.DescribeComputeOutput, error) {
	return nil, errUnbuilt
}

func (s *Service) ListCompute(ctx context.Context, in *gamelift.ListComputeInput) (*gamelift.ListComputeOutput, error) {
	return nil, errUnbuilt
}

func (s *Service) GetComputeAuthToken(ctx context.Context, in *gamelift.GetComputeAuthTokenInput) (*gamelift.GetComputeAuthTokenOutput, error) {
	return nil, errUnbuilt
}

func (s *Service) GetComputeAccess(ctx context.Context, in *gamelift.GetComputeAccessInput) (*gamelift.GetComputeAccessOutput, error) {
	return nil, errUnbuilt
}

// Connect authenticates a dial and makes or supersedes the process.
func (s *Service) Connect(ctx context.Context, d Dial) (Process, error) { return Process{}, errUnbuilt }

// Ready is ActivateServerProcess.
func (s *Service) Ready(ctx context.Context, process store.Key, r Ready) error { return errUnbuilt }

// Health is called for the first report of a connection and for each change.
func (s *Service) Health(ctx context.Context, process store.Key, healthy bool) error {
	return errUnbuilt
}

// Disconnect says that this node no longer holds the socket of that number.
func (s *Service) Disconnect(ctx context.Context, process store.Key, dial int64) error {
	return errUnbuilt
}

// End ends a process.
func (s *Service) End(ctx context.Context, process store.Key, why EndReason) error {
	return errUnbuilt
}

// Keep says which sockets this node holds, and returns those to be closed.
func (s *Service) Keep(ctx context.Context, held []Socket) (stale []Socket, err error) {
	return nil, errUnbuilt
}

// Certificate is GetComputeCertificate.
func (s *Service) Certificate(ctx context.Context, process store.Key) (path string, name arn.ComputeName, err error) {
	return "", "", errUnbuilt
}

// TakeInbox removes and returns messages.
func (s *Service) TakeInbox(ctx context.Context, processes []store.Key) ([]Message, error) {
	return nil, errUnbuilt
}

// PutBack undoes TakeInbox.
func (s *Service) PutBack(ctx context.Context, m []Message) error { return errUnbuilt }

// Tick does what is due.
func (s *Service) Tick(ctx context.Context, now time.Time) error { return errUnbuilt }

// Due is when.
func (s *Service) Due(ctx context.Context) (time.Time, bool, error) {
	return time.Time{}, false, errUnbuilt
}

// ReserveTx takes a free process.
func (s *Service) ReserveTx(tx *store.Tx, f fleet.Fleet, at arn.Location) (Process, error) {
	return Process{}, errUnbuilt
}

// ActivatedTx says the game session is active.
func (s *Service) ActivatedTx(tx *store.Tx, process store.Key) error { return errUnbuilt }

// ProcessTx reads a process; store.ErrNoRows when unknown.
func (s *Service) ProcessTx(tx *store.Tx, process store.Key) (Process, error) {
	return Process{}, errUnbuilt
}

// SendTx puts a push into the inbox.
func (s *Service) SendTx(tx *store.Tx, process store.Key, push any) error { return errUnbuilt }

// EndTx ends a process.
func (s *Service) EndTx(tx *store.Tx, process store.Key, why EndReason) error { return errUnbuilt }

// CountTx counts ready and hosting processes.
func (s *Service) CountTx(tx *store.Tx, id arn.FleetID, at arn.Location) (processes int, err error) {
	return 0, errUnbuilt
}

// DropFleetTx is for fleet.Service.Deleting.
func (s *Service) DropFleetTx(tx *store.Tx, id arn.FleetID) error { return errUnbuilt }

// DropLocationTx is for fleet.Service.Leaving.
func (s *Service) DropLocationTx(tx *store.Tx, id arn.FleetID, at arn.Location) error {
	return errUnbuilt
}
