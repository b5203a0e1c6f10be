package compute

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// statusActive is the status of a registered compute. Real answers spell it so for
// Anywhere fleets, outside the enum (hosting.md 3.1).
const statusActive types.ComputeStatus = "Active"

const listPage = 100 // default and most of ListCompute

// compute is a row of table compute, without the counts.
type compute struct {
	key         store.Key
	fleet       store.Key
	fleetID     arn.FleetID
	name        arn.ComputeName
	location    arn.Location
	ip          string
	dns         *string
	certificate *string
	agent       bool
	createdAt   int64
	// managed says that it is an instance; kind and os are its type and operating system.
	managed bool
	kind    types.EC2InstanceType
	os      types.OperatingSystem
}

// RegisterCompute adds a compute to an Anywhere fleet, Active at once. It needs an IP
// address and one of the fleet's locations (hosting.md 3.2). An unknown fleet is an
// InvalidRequestException, a name the fleet has already a ConflictException. A compute to
// which nothing connects stays.
func (s *Service) RegisterCompute(ctx context.Context, in *gamelift.RegisterComputeInput) (*gamelift.RegisterComputeOutput, error) {
	var c compute
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := readFleet(tx, in.FleetId, s.Fleets.HoldTx, apierr.InvalidRequest)
		if err != nil {
			return err
		}
		if err := s.mayRegisterTx(tx, f, in); err != nil {
			return err
		}
		c = compute{
			key: tx.NewKey(), fleet: f.Key, fleetID: f.ID, name: arn.ComputeName(*in.ComputeName), location: arn.Location(*in.Location),
			ip: *in.IpAddress, dns: in.DnsName, certificate: in.CertificatePath, createdAt: tx.NowMs(),
		}
		inserted, err := insertCompute(tx, c)
		if err != nil {
			return err
		}
		if !inserted {
			return apierr.Conflict("ComputeName: fleet %s has a compute %s already", f.ID, c.name)
		}
		return takeQuota(tx, f, s.Config.orDefaults().ComputesPerFleet)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.RegisterComputeOutput{Compute: new(s.model(c))}, nil
}

func (s *Service) mayRegisterTx(tx *store.Tx, f fleet.Fleet, in *gamelift.RegisterComputeInput) error {
	if f.ComputeType != types.ComputeTypeAnywhere {
		return apierr.InvalidRequest("FleetId: fleet %s is not an ANYWHERE fleet; its computes register themselves", f.ID)
	}
	if f.Status != types.FleetStatusActive {
		return apierr.InvalidRequest("FleetId: fleet %s is %s and takes no computes", f.ID, f.Status)
	}
	if in.Location == nil {
		return apierr.InvalidRequest("Location: a compute of an ANYWHERE fleet needs one of the fleet's locations")
	}
	_, err := s.Fleets.LocationTx(tx, f.ID, arn.Location(*in.Location))
	if errors.Is(err, store.ErrNoRows) {
		return apierr.InvalidRequest("Location: fleet %s does not have %s", f.ID, *in.Location)
	}
	if err != nil {
		return err
	}
	if in.IpAddress == nil {
		return apierr.InvalidRequest("IpAddress: a compute of an ANYWHERE fleet needs one")
	}
	return nil
}

// DeregisterCompute removes a compute. Its processes end, and with them what they host;
// its auth tokens are void.
func (s *Service) DeregisterCompute(ctx context.Context, in *gamelift.DeregisterComputeInput) (*gamelift.DeregisterComputeOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, c, err := s.computeOf(tx, in.FleetId, in.ComputeName, tx.ForUpdate())
		if err != nil {
			return err
		}
		if c.managed {
			return apierr.InvalidRequest("FleetId: fleet %s is an EC2 fleet, whose computes end with their instances", f.ID)
		}
		return s.dropTx(tx, c, Deregistered)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeregisterComputeOutput{}, nil
}

// DescribeCompute shows a compute, named by name or ARN.
func (s *Service) DescribeCompute(ctx context.Context, in *gamelift.DescribeComputeInput) (*gamelift.DescribeComputeOutput, error) {
	out := &gamelift.DescribeComputeOutput{}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		_, c, err := s.computeOf(tx, in.FleetId, in.ComputeName, "")
		if err != nil {
			return err
		}
		out.Compute = new(s.model(c))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ListCompute lists a fleet's computes, oldest first, at most 100 a page. An unknown fleet
// is an InvalidRequestException. Registered computes are active and belong to no container
// group definition: filters for anything else find nothing.
func (s *Service) ListCompute(ctx context.Context, in *gamelift.ListComputeInput) (*gamelift.ListComputeOutput, error) {
	var after store.Key
	bind := []any{in.FleetId, in.Location, in.ComputeStatus, in.ContainerGroupDefinitionName}
	if _, err := page.Decode("ListCompute", bind, in.NextToken, &after); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, listPage, listPage)
	out := &gamelift.ListComputeOutput{ComputeList: []types.Compute{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		f, err := readFleet(tx, in.FleetId, s.Fleets.GetTx, apierr.InvalidRequest)
		if err != nil {
			return err
		}
		if in.ComputeStatus == types.ListComputeInputStatusImpaired || in.ContainerGroupDefinitionName != nil {
			return nil
		}
		list, err := computesAfter(tx, f.Key, in.Location, after, size+1)
		if err != nil {
			return err
		}
		list, out.NextToken = page.Cut(list, size, func(c compute) string { return page.Encode("ListCompute", bind, c.key) })
		for _, c := range list {
			out.ComputeList = append(out.ComputeList, s.model(c))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// GetComputeAccess gives shell access to managed computes. This server offers none, since a
// host's owner has better means: UnauthorizedException (hosting.md 3.5). On Anywhere fleets
// it is an InvalidRequestException.
func (s *Service) GetComputeAccess(ctx context.Context, in *gamelift.GetComputeAccessInput) (*gamelift.GetComputeAccessOutput, error) {
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		f, c, err := s.computeOf(tx, in.FleetId, in.ComputeName, "")
		if err != nil {
			return err
		}
		if c.managed {
			return apierr.Unauthorized("ComputeName: this server gives no shell on compute %s; reach its host by its own means", c.name)
		}
		return apierr.InvalidRequest("FleetId: fleet %s is an ANYWHERE fleet; reach compute %s by its own means", f.ID, c.name)
	})
	return nil, err
}

// Certificate is where the TLS certificate of a process's compute lies, as it was
// registered; "" when none was.
func (s *Service) Certificate(ctx context.Context, process store.Key) (path string, name arn.ComputeName, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var p *string
		err := tx.QueryRow(`SELECT c.certificate_path, c.name FROM process p JOIN compute c ON c.key = p.compute WHERE p.key = $1`,
			process).Scan(&p, &name)
		if errors.Is(err, store.ErrNoRows) {
			return apierr.NotFound("the compute of this server process is not registered")
		}
		if p != nil {
			path = *p
		}
		return err
	})
	return path, name, err
}

// DropFleetTx removes all computes of a fleet and ends their processes, for
// fleet.Service.Deleting.
func (s *Service) DropFleetTx(tx *store.Tx, id arn.FleetID) error {
	return s.dropAllTx(tx, id, "", FleetDeleted)
}

// DropLocationTx removes the computes of one location of a fleet and ends their processes,
// for fleet.Service.Leaving.
func (s *Service) DropLocationTx(tx *store.Tx, id arn.FleetID, at arn.Location) error {
	return s.dropAllTx(tx, id, at, LocationDeleted)
}

func (s *Service) dropAllTx(tx *store.Tx, id arn.FleetID, at arn.Location, why EndReason) error {
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := lockComputes(tx, f.Key, at)
	if err != nil {
		return err
	}
	for _, c := range list {
		if err := s.dropTx(tx, c, why); err != nil {
			return err
		}
	}
	if at == "" {
		_, err = tx.Exec(`DELETE FROM compute_quota WHERE fleet = $1`, f.Key)
	}
	return err
}

// dropTx removes a compute whose row is locked.
func (s *Service) dropTx(tx *store.Tx, c compute, why EndReason) error {
	live, err := liveProcesses(tx, c.key)
	if err != nil {
		return err
	}
	for _, p := range live {
		if err := s.endTx(tx, p, why); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`DELETE FROM compute_token WHERE compute = $1`, c.key); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM compute_agent WHERE compute = $1`, c.key); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM compute WHERE key = $1`, c.key); err != nil {
		return err
	}
	if c.managed {
		return nil
	}
	if c.agent {
		tellAgent(tx, c.key)
	}
	_, err = tx.Exec(`UPDATE compute_quota SET used = used - 1 WHERE fleet = $1`, c.fleet)
	return err
}

// CountTx counts the server processes of a fleet that are ready or host a game session, in
// one location or, when at is "", in all. An unknown fleet has none.
func (s *Service) CountTx(tx *store.Tx, id arn.FleetID, at arn.Location) (processes int, err error) {
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	err = tx.QueryRow(`SELECT COALESCE(CAST(sum(ready + hosting) AS BIGINT), 0) FROM compute WHERE fleet = $1 AND (location = $2 OR $2 = '')`,
		f.Key, at).Scan(&processes)
	return processes, err
}

// readFleet reads the fleet that a caller's member names, by id or ARN. unknown makes the
// error for one that is not there.
func readFleet(tx *store.Tx, member *string, get func(*store.Tx, arn.FleetID) (fleet.Fleet, error), unknown func(string, ...any) error) (fleet.Fleet, error) {
	id, err := arn.ParseFleet(*member)
	if err != nil {
		return fleet.Fleet{}, apierr.InvalidRequest("FleetId: %v", err)
	}
	f, err := get(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return fleet.Fleet{}, unknown("FleetId: fleet %s does not exist", id)
	}
	return f, err
}

// computeOf reads the compute that a caller's members name. NotFoundException when the
// fleet or the compute is not there.
func (s *Service) computeOf(tx *store.Tx, fleetMember, nameMember *string, lock string) (fleet.Fleet, compute, error) {
	f, err := readFleet(tx, fleetMember, s.Fleets.GetTx, apierr.NotFound)
	if err != nil {
		return fleet.Fleet{}, compute{}, err
	}
	name, err := arn.ParseCompute(*nameMember)
	if err != nil {
		return fleet.Fleet{}, compute{}, apierr.InvalidRequest("ComputeName: %v", err)
	}
	c, err := computeByName(tx, f.Key, name, lock)
	if errors.Is(err, store.ErrNoRows) {
		return fleet.Fleet{}, compute{}, apierr.NotFound("ComputeName: fleet %s has no compute %s", f.ID, name)
	}
	return f, c, err
}

// model is the compute's record as callers see it.
// An instance's has no ARN and no endpoints (hosting.md 3.1).
func (s *Service) model(c compute) types.Compute {
	if c.managed {
		return types.Compute{
			FleetId: new(string(c.fleetID)), FleetArn: new(s.Home.Fleet(c.fleetID)), ComputeName: new(string(c.name)),
			ComputeStatus: statusActive, IpAddress: new(c.ip), DnsName: c.dns, Location: new(string(c.location)),
			CreationTime: new(time.UnixMilli(c.createdAt).UTC()), OperatingSystem: c.os, Type: c.kind,
		}
	}
	return types.Compute{
		FleetId:                    new(string(c.fleetID)),
		FleetArn:                   new(s.Home.Fleet(c.fleetID)),
		ComputeName:                new(string(c.name)),
		ComputeArn:                 new(s.Home.Compute(c.name)),
		ComputeStatus:              statusActive,
		IpAddress:                  new(c.ip),
		DnsName:                    c.dns,
		Location:                   new(string(c.location)),
		CreationTime:               new(time.UnixMilli(c.createdAt).UTC()),
		GameLiftServiceSdkEndpoint: new(s.SDKEndpoint()),
		GameLiftAgentEndpoint:      new(s.AgentEndpoint()),
	}
}

const computeColumns = `key, fleet, fleet_id, name, location, ip_address, dns_name, certificate_path, agent, created_at, managed, kind, os`

func scanCompute(row store.Scanner) (c compute, err error) {
	var agent, managed int64
	err = row.Scan(&c.key, &c.fleet, &c.fleetID, &c.name, &c.location, &c.ip, &c.dns, &c.certificate, &agent, &c.createdAt, &managed, &c.kind, &c.os)
	c.agent, c.managed = agent == 1, managed == 1
	return c, err
}

func computeByName(tx *store.Tx, fleet store.Key, name arn.ComputeName, lock string) (compute, error) {
	return scanCompute(tx.QueryRow(`SELECT `+computeColumns+` FROM compute WHERE fleet = $1 AND name = $2`+lock, fleet, name))
}

func computesAfter(tx *store.Tx, fleet store.Key, at *string, after store.Key, limit int) ([]compute, error) {
	place := ""
	if at != nil {
		place = *at
	}
	return scanComputes(tx.Query(`SELECT `+computeColumns+` FROM compute
		WHERE fleet = $1 AND key > $2 AND (location = $3 OR $3 = '') ORDER BY key LIMIT $4`, fleet, after, place, limit))
}

// lockComputes locks the computes of a fleet, in one location or, when at is "", all.
func lockComputes(tx *store.Tx, fleet store.Key, at arn.Location) ([]compute, error) {
	return scanComputes(tx.Query(`SELECT `+computeColumns+` FROM compute
		WHERE fleet = $1 AND (location = $2 OR $2 = '') ORDER BY key`+tx.ForUpdate(), fleet, at))
}

var scanComputes = store.All(scanCompute)

// insertCompute tells whether the name was free.
func insertCompute(tx *store.Tx, c compute) (bool, error) {
	n, err := tx.Exec(`INSERT INTO compute (key, fleet, fleet_id, name, location, ip_address, dns_name, certificate_path, agent, created_at,
			ready, free, hosting, activating)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0) ON CONFLICT (fleet, name) DO NOTHING`,
		c.key, c.fleet, c.fleetID, c.name, c.location, c.ip, c.dns, c.certificate, bit(c.agent), c.createdAt)
	return n == 1, err
}

// takeQuota counts one more compute of a fleet, unless limit of them exist. Call it last in
// a transaction: registrations in one fleet wait for each other here.
func takeQuota(tx *store.Tx, f fleet.Fleet, limit int) error {
	n, err := tx.Exec(`INSERT INTO compute_quota (fleet, used) VALUES ($1, 1)
		ON CONFLICT (fleet) DO UPDATE SET used = compute_quota.used + 1 WHERE compute_quota.used < $2`, f.Key, limit)
	if err != nil {
		return err
	}
	if n == 0 {
		return apierr.LimitExceeded("FleetId: fleet %s has %d computes, which is the quota", f.ID, limit)
	}
	return nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
