package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/store"
)

// Peerings connect nothing here: there is no VPC to connect. The records and their rules are
// kept, and a peering is active as soon as it is asked for (hosting.md 5.5). Where AWS would
// name its own network, the ids are made from our keys.

const (
	authorizedFor = 24 * time.Hour
	peeringCIDR   = "172.31.0.0/16" // AWS's own default; nothing here routes it
)

// CreateVpcPeeringAuthorization permits an account to peer with a VPC of the caller's, and
// to end the peering, for 24 hours. A repeat begins them anew.
func (s *Service) CreateVpcPeeringAuthorization(ctx context.Context, in *gamelift.CreateVpcPeeringAuthorizationInput) (*gamelift.CreateVpcPeeringAuthorizationOutput, error) {
	out := &gamelift.CreateVpcPeeringAuthorizationOutput{}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		expires := tx.Now.Add(authorizedFor)
		_, err := tx.Exec(`INSERT INTO vpc_authorization (account, peer_vpc, key, peer_account, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account, peer_vpc) DO UPDATE SET key = excluded.key, created_at = excluded.created_at, expires_at = excluded.expires_at`,
			*in.GameLiftAwsAccountId, *in.PeerVpcId, tx.NewKey(), s.Home.Account, tx.NowMs(), expires.UnixMilli())
		out.VpcPeeringAuthorization = &types.VpcPeeringAuthorization{
			GameLiftAwsAccountId: in.GameLiftAwsAccountId, PeerVpcId: in.PeerVpcId, PeerVpcAwsAccountId: new(s.Home.Account),
			CreationTime: new(tx.Now), ExpirationTime: &expires,
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DescribeVpcPeeringAuthorizations lists the permits that are valid, oldest first.
func (s *Service) DescribeVpcPeeringAuthorizations(ctx context.Context, _ *gamelift.DescribeVpcPeeringAuthorizationsInput) (*gamelift.DescribeVpcPeeringAuthorizationsOutput, error) {
	out := &gamelift.DescribeVpcPeeringAuthorizationsOutput{VpcPeeringAuthorizations: []types.VpcPeeringAuthorization{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT account, peer_vpc, peer_account, created_at, expires_at FROM vpc_authorization WHERE expires_at > $1 ORDER BY key`, tx.NowMs())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var account, vpc, peer string
			var created, expires int64
			if err := rows.Scan(&account, &vpc, &peer, &created, &expires); err != nil {
				return err
			}
			out.VpcPeeringAuthorizations = append(out.VpcPeeringAuthorizations, types.VpcPeeringAuthorization{
				GameLiftAwsAccountId: &account, PeerVpcId: &vpc, PeerVpcAwsAccountId: &peer,
				CreationTime: new(time.UnixMilli(created).UTC()), ExpirationTime: new(time.UnixMilli(expires).UTC()),
			})
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteVpcPeeringAuthorization takes a permit back. Peerings made by it stay.
func (s *Service) DeleteVpcPeeringAuthorization(ctx context.Context, in *gamelift.DeleteVpcPeeringAuthorizationInput) (*gamelift.DeleteVpcPeeringAuthorizationOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`DELETE FROM vpc_authorization WHERE account = $1 AND peer_vpc = $2 AND expires_at > $3`,
			*in.GameLiftAwsAccountId, *in.PeerVpcId, tx.NowMs())
		if err == nil && n == 0 {
			return apierr.NotFound("PeerVpcId: there is no valid authorization for account %s and VPC %s", *in.GameLiftAwsAccountId, *in.PeerVpcId)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteVpcPeeringAuthorizationOutput{}, nil
}

// CreateVpcPeeringConnection peers a managed fleet with a VPC whose owner permitted it. It
// is refused on Anywhere fleets, and without a valid permit as NotFoundException.
func (s *Service) CreateVpcPeeringConnection(ctx context.Context, in *gamelift.CreateVpcPeeringConnectionInput) (*gamelift.CreateVpcPeeringConnectionOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		if f.ComputeType == types.ComputeTypeAnywhere {
			return apierr.InvalidRequest("FleetId: fleet %s is an ANYWHERE fleet, which has no VPC", f.ID)
		}
		if err := s.authorizedTx(tx, *in.PeerVpcId, in.PeerVpcAwsAccountId); err != nil {
			return err
		}
		n, err := tx.Exec(`INSERT INTO vpc_peering (key, fleet, peer_vpc) VALUES ($1, $2, $3) ON CONFLICT (fleet, peer_vpc) DO NOTHING`,
			tx.NewKey(), f.Key, *in.PeerVpcId)
		if err != nil {
			return err
		}
		if n == 0 {
			return apierr.InvalidRequest("PeerVpcId: fleet %s is peered with %s already", f.ID, *in.PeerVpcId)
		}
		return s.EventTx(tx, f.ID, types.EventCodeFleetVpcPeeringSucceeded, fmt.Sprintf("Fleet %s was peered with VPC %s", f.ID, *in.PeerVpcId))
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateVpcPeeringConnectionOutput{}, nil
}

// authorizedTx refuses as NotFoundException unless the owner of a VPC permits this account
// to peer with it now. A nil owner stands for any.
func (s *Service) authorizedTx(tx *store.Tx, vpc string, owner *string) error {
	var by string
	err := tx.QueryRow(`SELECT peer_account FROM vpc_authorization WHERE account = $1 AND peer_vpc = $2 AND expires_at > $3`,
		s.Home.Account, vpc, tx.NowMs()).Scan(&by)
	if errors.Is(err, store.ErrNoRows) || err == nil && owner != nil && *owner != by {
		return apierr.NotFound("PeerVpcId: there is no valid authorization for account %s and VPC %s", s.Home.Account, vpc)
	}
	return err
}

// DescribeVpcPeeringConnections lists the peerings of one fleet, or of all.
func (s *Service) DescribeVpcPeeringConnections(ctx context.Context, in *gamelift.DescribeVpcPeeringConnectionsInput) (*gamelift.DescribeVpcPeeringConnectionsOutput, error) {
	out := &gamelift.DescribeVpcPeeringConnectionsOutput{VpcPeeringConnections: []types.VpcPeeringConnection{}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		var only store.Key
		if in.FleetId != nil {
			f, err := s.fleetOf(tx, in.FleetId)
			if err != nil {
				return err
			}
			only = f.Key
		}
		rows, err := tx.Query(`SELECT p.key, p.peer_vpc, f.key, f.tail FROM vpc_peering p JOIN fleet f ON f.key = p.fleet
			WHERE f.key = $1 OR $1 = 0 ORDER BY p.key`, only)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key, fleet store.Key
			var tail int64
			var vpc string
			if err := rows.Scan(&key, &vpc, &fleet, &tail); err != nil {
				return err
			}
			id := mintID(fleet, tail)
			out.VpcPeeringConnections = append(out.VpcPeeringConnections, types.VpcPeeringConnection{
				FleetId: new(string(id)), FleetArn: new(s.Home.Fleet(id)), PeerVpcId: &vpc,
				VpcPeeringConnectionId: new(peeringID(key)), GameLiftVpcId: new(fmt.Sprintf("vpc-0%016x", int64(fleet))),
				IpV4CidrBlock: new(peeringCIDR),
				Status:        &types.VpcPeeringConnectionStatus{Code: new("active"), Message: new("Active")},
			})
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteVpcPeeringConnection ends a peering. It needs a valid permit, as making it did.
func (s *Service) DeleteVpcPeeringConnection(ctx context.Context, in *gamelift.DeleteVpcPeeringConnectionInput) (*gamelift.DeleteVpcPeeringConnectionOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		f, err := s.fleetToChange(tx, in.FleetId)
		if err != nil {
			return err
		}
		peerings, err := peeringsTx(tx, f)
		if err != nil {
			return err
		}
		for key, vpc := range peerings {
			if peeringID(key) == *in.VpcPeeringConnectionId {
				return s.unpeerTx(tx, f, key, vpc)
			}
		}
		return apierr.NotFound("VpcPeeringConnectionId: fleet %s does not have %s", f.ID, *in.VpcPeeringConnectionId)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteVpcPeeringConnectionOutput{}, nil
}

func (s *Service) unpeerTx(tx *store.Tx, f Fleet, key store.Key, vpc string) error {
	if err := s.authorizedTx(tx, vpc, nil); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM vpc_peering WHERE key = $1`, key); err != nil {
		return err
	}
	return s.EventTx(tx, f.ID, types.EventCodeFleetVpcPeeringDeleted, fmt.Sprintf("Fleet %s is no longer peered with VPC %s", f.ID, vpc))
}

// dropPeeringsTx ends all peerings of a fleet that is being deleted. Each needs its permit;
// without one the deletion is refused (hosting.md 2.4), as InvalidRequestException, since
// tools take a NotFoundException to mean that the fleet is gone.
func (s *Service) dropPeeringsTx(tx *store.Tx, f Fleet) error {
	peerings, err := peeringsTx(tx, f)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(peerings)) {
		err := s.unpeerTx(tx, f, key, peerings[key])
		if isNotFound(err) {
			return apierr.InvalidRequest("Cannot delete fleet %s without a valid authorization for its peering with VPC %s", f.ID, peerings[key])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isNotFound(err error) bool {
	_, missing := errors.AsType[*types.NotFoundException](err)
	return missing
}

// peeringsTx is the peered VPC by the peering's key.
func peeringsTx(tx *store.Tx, f Fleet) (map[store.Key]string, error) {
	rows, err := tx.Query(`SELECT key, peer_vpc FROM vpc_peering WHERE fleet = $1`, f.Key)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	peerings := map[store.Key]string{}
	for rows.Next() {
		var key store.Key
		var vpc string
		if err := rows.Scan(&key, &vpc); err != nil {
			return nil, err
		}
		peerings[key] = vpc
	}
	return peerings, rows.Err()
}

func peeringID(key store.Key) string { return fmt.Sprintf("pcx-0%016x", int64(key)) }
