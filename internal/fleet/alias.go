package fleet

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

const aliasesPage = 100 // default and most

// alias is an alias's row.
type alias struct {
	key                  store.Key
	id                   arn.AliasID
	name                 string
	description          *string
	strategy             types.RoutingStrategyType
	fleet, message       *string
	createdAt, updatedAt int64
}

// CreateAlias makes an alias. Names need not be unique. A SIMPLE alias needs a fleet that
// exists, in whatever state; without one it is an InvalidRequestException, since
// NotFoundException is not declared here (hosting.md 5.1).
func (s *Service) CreateAlias(ctx context.Context, in *gamelift.CreateAliasInput) (*gamelift.CreateAliasOutput, error) {
	a := alias{name: *in.Name, description: in.Description}
	if err := a.route(in.RoutingStrategy); err != nil {
		return nil, err
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.targetExists(tx, a, apierr.InvalidRequest); err != nil {
			return err
		}
		tail := store.Tail()
		a.key, a.createdAt, a.updatedAt = tx.NewKey(), tx.NowMs(), tx.NowMs()
		a.id = aliasID(a.key, tail)
		_, err := tx.Exec(`INSERT INTO alias (key, tail, name, description, strategy, fleet, message, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`, a.key, tail, a.name, a.description, a.strategy, a.fleet, a.message, tx.NowMs())
		if err != nil {
			return err
		}
		if err := s.Tags.SetTx(tx, s.Home.Alias(a.id), in.Tags); err != nil {
			return err
		}
		return takeTx(tx, quotaAlias, s.Quotas.orDefaults().Aliases)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateAliasOutput{Alias: new(s.aliasModel(a))}, nil
}

// DescribeAlias shows an alias. It does not resolve it, so a terminal one is no error.
func (s *Service) DescribeAlias(ctx context.Context, in *gamelift.DescribeAliasInput) (*gamelift.DescribeAliasOutput, error) {
	var a alias
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		a, err = aliasOf(tx, in.AliasId, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DescribeAliasOutput{Alias: new(s.aliasModel(a))}, nil
}

// UpdateAlias changes the members that are given, and LastUpdatedTime. Game sessions that
// run stay where they are.
func (s *Service) UpdateAlias(ctx context.Context, in *gamelift.UpdateAliasInput) (*gamelift.UpdateAliasOutput, error) {
	var a alias
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if a, err = aliasOf(tx, in.AliasId, tx.ForUpdate()); err != nil {
			return err
		}
		if in.Name != nil {
			a.name = *in.Name
		}
		if in.Description != nil {
			a.description = in.Description
		}
		if in.RoutingStrategy != nil {
			if err := a.route(in.RoutingStrategy); err != nil {
				return err
			}
			if err := s.targetExists(tx, a, apierr.NotFound); err != nil {
				return err
			}
		}
		a.updatedAt = tx.NowMs()
		_, err = tx.Exec(`UPDATE alias SET name = $2, description = $3, strategy = $4, fleet = $5, message = $6, updated_at = $7 WHERE key = $1`,
			a.key, a.name, a.description, a.strategy, a.fleet, a.message, a.updatedAt)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UpdateAliasOutput{Alias: new(s.aliasModel(a))}, nil
}

// DeleteAlias removes an alias, also one that a queue names.
func (s *Service) DeleteAlias(ctx context.Context, in *gamelift.DeleteAliasInput) (*gamelift.DeleteAliasOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := aliasOf(tx, in.AliasId, tx.ForUpdate())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM alias WHERE key = $1`, a.key); err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, s.Home.Alias(a.id)); err != nil {
			return err
		}
		return giveTx(tx, quotaAlias)
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteAliasOutput{}, nil
}

// ListAliases lists aliases, oldest first: all, or those with exactly that name, or with
// that kind of strategy, or both.
func (s *Service) ListAliases(ctx context.Context, in *gamelift.ListAliasesInput) (*gamelift.ListAliasesOutput, error) {
	bind := []any{in.Name, in.RoutingStrategyType}
	var after store.Key
	if _, err := page.Decode("ListAliases", bind, in.NextToken, &after); err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, aliasesPage, aliasesPage)
	var out *gamelift.ListAliasesOutput
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		out = &gamelift.ListAliasesOutput{Aliases: []types.Alias{}}
		where, args := `WHERE key > $1`, []any{after, size + 1}
		if in.Name != nil {
			where, args = where+` AND name = $3`, append(args, *in.Name)
		}
		if in.RoutingStrategyType != "" {
			where, args = where+` AND strategy = $`+[]string{"3", "4"}[len(args)-2], append(args, in.RoutingStrategyType)
		}
		list, err := store.All(scanAlias)(tx.Query(`SELECT `+aliasColumns+` FROM alias `+where+` ORDER BY key LIMIT $2`, args...))
		list, out.NextToken = page.Cut(list, size, func(a alias) string { return page.Encode("ListAliases", bind, a.key) })
		for _, a := range list {
			out.Aliases = append(out.Aliases, s.aliasModel(a))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ResolveAlias tells the fleet a SIMPLE alias stands for, whether or not it still exists.
func (s *Service) ResolveAlias(ctx context.Context, in *gamelift.ResolveAliasInput) (*gamelift.ResolveAliasOutput, error) {
	id, err := parseAlias(in.AliasId)
	if err != nil {
		return nil, err
	}
	var fleet arn.FleetID
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		fleet, err = s.ResolveTx(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.ResolveAliasOutput{FleetId: new(string(fleet)), FleetArn: new(s.Home.Fleet(fleet))}, nil
}

// ResolveTx is the fleet that an alias stands for; the fleet may be gone. The error is a
// NotFoundException for an unknown alias, and for a terminal one a
// TerminalRoutingStrategyException whose message is the alias's own.
func (s *Service) ResolveTx(tx *store.Tx, id arn.AliasID) (arn.FleetID, error) {
	a, err := aliasByID(tx, id, "")
	switch {
	case errors.Is(err, store.ErrNoRows):
		return "", apierr.NotFound("AliasId: alias %s does not exist", id)
	case err != nil:
		return "", err
	case a.strategy == types.RoutingStrategyTypeTerminal:
		return "", apierr.TerminalRoutingStrategy(*a.message)
	}
	return arn.FleetID(*a.fleet), nil
}

// route sets the alias's strategy: SIMPLE has a fleet's id, TERMINAL has a message, and
// neither has the other's member.
func (a *alias) route(r *types.RoutingStrategy) error {
	switch r.Type {
	case types.RoutingStrategyTypeSimple:
		if r.FleetId == nil {
			return apierr.InvalidRequest("RoutingStrategy.FleetId: a SIMPLE strategy needs it")
		}
		if r.Message != nil {
			return apierr.InvalidRequest("RoutingStrategy.Message: a SIMPLE strategy cannot have it")
		}
	case types.RoutingStrategyTypeTerminal:
		if r.Message == nil || *r.Message == "" {
			return apierr.InvalidRequest("RoutingStrategy.Message: a TERMINAL strategy needs it")
		}
		if r.FleetId != nil {
			return apierr.InvalidRequest("RoutingStrategy.FleetId: a TERMINAL strategy cannot have it")
		}
	default:
		return apierr.InvalidRequest("RoutingStrategy.Type: it must be SIMPLE or TERMINAL")
	}
	a.strategy, a.fleet, a.message = r.Type, r.FleetId, r.Message
	return nil
}

// targetExists holds a SIMPLE alias to a fleet that exists.
func (s *Service) targetExists(tx *store.Tx, a alias, refuse func(string, ...any) error) error {
	if a.fleet == nil {
		return nil
	}
	_, err := s.GetTx(tx, arn.FleetID(*a.fleet))
	if errors.Is(err, store.ErrNoRows) {
		return refuse("RoutingStrategy.FleetId: fleet %s does not exist", *a.fleet)
	}
	return err
}

func (s *Service) aliasModel(a alias) types.Alias {
	return types.Alias{
		AliasId:         new(string(a.id)),
		AliasArn:        new(s.Home.Alias(a.id)),
		Name:            new(a.name),
		Description:     a.description,
		RoutingStrategy: &types.RoutingStrategy{Type: a.strategy, FleetId: a.fleet, Message: a.message},
		CreationTime:    new(time.UnixMilli(a.createdAt).UTC()),
		LastUpdatedTime: new(time.UnixMilli(a.updatedAt).UTC()),
	}
}

const aliasPrefix = "alias-"

func aliasID(key store.Key, tail int64) arn.AliasID {
	return arn.AliasID(aliasPrefix + key.UUID(tail))
}

func parseAlias(member *string) (arn.AliasID, error) {
	id, err := arn.ParseAlias(*member)
	if err != nil {
		return "", apierr.InvalidRequest("AliasId: %v", err)
	}
	return id, nil
}

// aliasOf reads the alias that a caller's AliasId member names, by id or ARN.
func aliasOf(tx *store.Tx, member *string, lock string) (alias, error) {
	id, err := parseAlias(member)
	if err != nil {
		return alias{}, err
	}
	a, err := aliasByID(tx, id, lock)
	if errors.Is(err, store.ErrNoRows) {
		return alias{}, apierr.NotFound("AliasId: alias %s does not exist", id)
	}
	return a, err
}

const aliasColumns = `key, tail, name, description, strategy, fleet, message, created_at, updated_at`

func aliasByID(tx *store.Tx, id arn.AliasID, lock string) (alias, error) {
	uuid, ok := strings.CutPrefix(string(id), aliasPrefix)
	key, tail, err := store.ParseUUID(uuid)
	if err != nil || !ok {
		return alias{}, store.ErrNoRows
	}
	return scanAlias(tx.QueryRow(`SELECT `+aliasColumns+` FROM alias WHERE key = $1 AND tail = $2`+lock, key, tail))
}

func scanAlias(row store.Scanner) (alias, error) {
	var a alias
	var tail int64
	err := row.Scan(&a.key, &tail, &a.name, &a.description, &a.strategy, &a.fleet, &a.message, &a.createdAt, &a.updatedAt)
	a.id = aliasID(a.key, tail)
	return a, err
}
