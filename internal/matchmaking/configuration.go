package matchmaking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/page"
	"github.com/matchyard/matchyard/internal/store"
)

// configuration is a matchmaking configuration, as stored.
type configuration struct {
	Key        store.Key
	Name       string
	ARN        string
	RuleSet    string // name
	RuleSetKey store.Key
	Version    int64 // grows with each update
	CreatedAt  time.Time
	detail
}

// detail is the JSON part of a configuration's row.
type detail struct {
	Standalone         bool                 `json:",omitempty"`
	Queues             []string             `json:",omitempty"` // ARNs; none when Standalone
	AcceptanceRequired bool                 `json:",omitempty"`
	AcceptanceTimeout  time.Duration        `json:",omitempty"` // zero: not given
	RequestTimeout     time.Duration        `json:",omitempty"`
	Additional         int32                `json:",omitempty"` // AdditionalPlayerCount as given
	Description        *string              `json:",omitempty"`
	CustomEventData    *string              `json:",omitempty"`
	NotificationTarget *string              `json:",omitempty"`
	SessionData        *string              `json:",omitempty"`
	Properties         []types.GameProperty `json:",omitempty"`
	Backfill           types.BackfillMode   `json:",omitempty"`
}

// CreateMatchmakingConfiguration makes a configuration. A name that is taken is an
// InvalidRequestException, since no conflict is modelled; a rule set or a queue that does not
// exist is a NotFoundException. An expansion step that comes after the request timeout is
// accepted, and never comes (flexmatch.md 1.7).
func (s *Service) CreateMatchmakingConfiguration(ctx context.Context, in *gamelift.CreateMatchmakingConfigurationInput) (*gamelift.CreateMatchmakingConfigurationOutput, error) {
	if *in.Name == "" {
		return nil, apierr.InvalidRequest("Name: it must not be empty")
	}
	c := configuration{Name: *in.Name, ARN: s.resource(configurationKind, *in.Name)}
	c.Backfill = types.BackfillModeManual
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		c.Key, c.CreatedAt, c.Version = tx.NewKey(), tx.Now, 1
		if err := s.changeTx(tx, &c, settings{
			in.RuleSetName, in.FlexMatchMode, in.GameSessionQueueArns, in.AcceptanceRequired, in.AcceptanceTimeoutSeconds,
			in.RequestTimeoutSeconds, in.AdditionalPlayerCount, in.BackfillMode, in.GameProperties, in.GameSessionData,
			in.Description, in.CustomEventData, in.NotificationTarget,
		}); err != nil {
			return err
		}
		ok, err := insertConfiguration(tx, c)
		if err != nil {
			return err
		}
		if !ok {
			return apierr.InvalidRequest("Name: a matchmaking configuration %s exists", c.Name)
		}
		if err := s.freshTags(tx, c.ARN, in.Tags); err != nil {
			return err
		}
		limit := s.Config.orDefaults().Configurations
		if ok, err = takeQuota(tx, "configuration", limit); err == nil && !ok {
			return apierr.LimitExceeded("the quota of %d matchmaking configurations is used up", limit)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.CreateMatchmakingConfigurationOutput{Configuration: new(s.configurationModel(c))}, nil
}

// DescribeMatchmakingConfigurations lists configurations, oldest first: all, those named by
// name or ARN, those that use a rule set, or those to which both applies. What is unknown is
// left out.
func (s *Service) DescribeMatchmakingConfigurations(ctx context.Context, in *gamelift.DescribeMatchmakingConfigurationsInput) (*gamelift.DescribeMatchmakingConfigurationsOutput, error) {
	const op = "DescribeMatchmakingConfigurations"
	bind := struct {
		Names   []string
		RuleSet *string
	}{in.Names, in.RuleSetName}
	var after store.Key
	if _, err := page.Decode(op, bind, in.NextToken, &after); err != nil {
		return nil, err
	}
	names, err := parseNames("Names", configurationKind, in.Names)
	if err != nil {
		return nil, err
	}
	size := page.Size(in.Limit, pageSize, pageSize)
	var list []configuration
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		var only *store.Key
		if in.RuleSetName != nil {
			name, err := parseName("RuleSetName", ruleSetKind, *in.RuleSetName)
			if err != nil {
				return err
			}
			r, err := ruleSetByName(tx, name, "")
			if errors.Is(err, store.ErrNoRows) {
				list = nil
				return nil
			}
			if err != nil {
				return err
			}
			only = &r.key
		}
		list, err = pageOfConfigurations(tx, names, only, after, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &gamelift.DescribeMatchmakingConfigurationsOutput{Configurations: []types.MatchmakingConfiguration{}}
	list, out.NextToken = page.Cut(list, size, func(c configuration) string { return page.Encode(op, bind, c.Key) })
	for _, c := range list {
		out.Configurations = append(out.Configurations, s.configurationModel(c))
	}
	return out, nil
}

// UpdateMatchmakingConfiguration changes the members that are given; those that are not stay,
// an empty list or text removes. A change to STANDALONE drops the queues. Tickets that wait
// meet the new configuration in the next pass; matches that are made stay as they are
// (flexmatch.md 2.9).
func (s *Service) UpdateMatchmakingConfiguration(ctx context.Context, in *gamelift.UpdateMatchmakingConfigurationInput) (*gamelift.UpdateMatchmakingConfigurationOutput, error) {
	var c configuration
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if c, err = s.knownConfiguration(tx, "Name", *in.Name, forUpdateOf(tx)); err != nil {
			return err
		}
		if err := s.changeTx(tx, &c, settings{
			in.RuleSetName, in.FlexMatchMode, in.GameSessionQueueArns, in.AcceptanceRequired, in.AcceptanceTimeoutSeconds,
			in.RequestTimeoutSeconds, in.AdditionalPlayerCount, in.BackfillMode, in.GameProperties, in.GameSessionData,
			in.Description, in.CustomEventData, in.NotificationTarget,
		}); err != nil {
			return err
		}
		c.Version++
		if err := saveConfiguration(tx, c); err != nil {
			return err
		}
		s.configurationChangedTx(tx, c.Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.UpdateMatchmakingConfigurationOutput{Configuration: new(s.configurationModel(c))}, nil
}

// DeleteMatchmakingConfiguration deletes a configuration that has no tickets under way; its
// name may be used again.
func (s *Service) DeleteMatchmakingConfiguration(ctx context.Context, in *gamelift.DeleteMatchmakingConfigurationInput) (*gamelift.DeleteMatchmakingConfigurationOutput, error) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		c, err := s.knownConfiguration(tx, "Name", *in.Name, forUpdateOf(tx))
		if err != nil {
			return err
		}
		live, err := s.liveTicketsTx(tx, c.Key)
		if err != nil {
			return err
		}
		if live > 0 {
			return apierr.InvalidRequest("Name: matchmaking configuration %s has %d tickets under way", c.Name, live)
		}
		if err := removeConfiguration(tx, c.Key); err != nil {
			return err
		}
		if err := s.Tags.DropTx(tx, c.ARN); err != nil {
			return err
		}
		s.configurationChangedTx(tx, c.Key)
		return giveQuota(tx, "configuration")
	})
	if err != nil {
		return nil, err
	}
	return &gamelift.DeleteMatchmakingConfigurationOutput{}, nil
}

// settings are the members that create and update share.
type settings struct {
	ruleSet           *string
	mode              types.FlexMatchMode
	queues            []string
	acceptance        *bool
	acceptanceTimeout *int32
	requestTimeout    *int32
	additional        *int32
	backfill          types.BackfillMode
	properties        []types.GameProperty
	sessionData       *string
	description       *string
	custom            *string
	target            *string
}

// changeTx takes over what is given, and checks the whole (flexmatch.md 2.13).
func (s *Service) changeTx(tx *store.Tx, c *configuration, in settings) error {
	if in.ruleSet != nil {
		// Whoever deletes a rule set locks it too.
		r, err := knownRuleSet(tx, "RuleSetName", *in.ruleSet, tx.ForUpdate())
		if err != nil {
			return err
		}
		c.RuleSet, c.RuleSetKey = r.name, r.key
	}
	c.take(in)
	if in.mode == types.FlexMatchModeStandalone && in.queues == nil {
		c.Queues = nil // those of before
	}
	if err := c.check(); err != nil {
		return err
	}
	if in.queues != nil {
		if err := s.queuesExist(tx, in.queues); err != nil {
			return err
		}
	}
	return s.checkAdditional(tx, *c)
}

func (c *configuration) take(in settings) {
	if in.mode != "" {
		c.Standalone = in.mode == types.FlexMatchModeStandalone
	}
	if in.queues != nil {
		c.Queues = in.queues
	}
	if in.acceptance != nil {
		c.AcceptanceRequired = *in.acceptance
	}
	if in.acceptanceTimeout != nil {
		c.AcceptanceTimeout = time.Duration(*in.acceptanceTimeout) * time.Second
	}
	if in.requestTimeout != nil {
		c.RequestTimeout = time.Duration(*in.requestTimeout) * time.Second
	}
	if in.additional != nil {
		c.Additional = *in.additional
	}
	if in.backfill != "" {
		c.Backfill = in.backfill
	}
	if in.properties != nil {
		c.Properties = in.properties
	}
	for to, text := range map[**string]*string{
		&c.SessionData: in.sessionData, &c.Description: in.description, &c.CustomEventData: in.custom, &c.NotificationTarget: in.target,
	} {
		switch {
		case text == nil:
		case *text == "":
			*to = nil
		default:
			*to = text
		}
	}
}

// additional is the number of slots that a match keeps free.
func (c configuration) additional() int {
	if c.Standalone {
		return 0
	}
	return int(c.Additional)
}

// check holds members against each other.
func (c *configuration) check() error {
	switch {
	case c.AcceptanceRequired && c.AcceptanceTimeout == 0:
		return apierr.InvalidRequest("AcceptanceTimeoutSeconds: it is required when AcceptanceRequired is true")
	case c.Standalone && len(c.Queues) > 0:
		return apierr.InvalidRequest("GameSessionQueueArns: none may be set when FlexMatchMode is STANDALONE")
	case !c.Standalone && len(c.Queues) == 0:
		return apierr.InvalidRequest("GameSessionQueueArns: a queue is required when FlexMatchMode is WITH_QUEUE")
	case c.Standalone && c.Backfill == types.BackfillModeAutomatic:
		return apierr.InvalidRequest("BackfillMode: AUTOMATIC is not available when FlexMatchMode is STANDALONE")
	}
	return nil
}

// checkAdditional refuses to keep so many slots free that nobody is left to match.
func (s *Service) checkAdditional(tx *store.Tx, c configuration) error {
	if c.additional() == 0 {
		return nil
	}
	rs, err := s.ruleSetTx(tx, c.RuleSetKey)
	if err != nil {
		return err
	}
	if slots := rs.Slots(); c.additional() >= slots {
		return apierr.InvalidRequest("AdditionalPlayerCount: %d leaves none of the %d slots of rule set %s", c.additional(), slots, c.RuleSet)
	}
	return nil
}

// queuesExist refuses what is not the ARN of a queue that is here. The region is not looked
// at: game sessions are placed by the queues of this server.
func (s *Service) queuesExist(tx *store.Tx, queues []string) error {
	for i, text := range queues {
		kind, name, ok := arn.Resource(text)
		if !ok || kind != queueKind {
			return apierr.InvalidRequest("GameSessionQueueArns[%d]: %q is not the ARN of a queue", i, text)
		}
		found, err := s.Placements.ExistsTx(tx, kind, name)
		if err != nil {
			return err
		}
		if !found {
			return apierr.NotFound("GameSessionQueueArns[%d]: queue %s does not exist", i, name)
		}
	}
	return nil
}

// configurationTx reads the configuration that a request names, by name or ARN, or refuses
// with NotFoundException.
func (s *Service) configurationTx(tx *store.Tx, nameOrARN string) (configuration, error) {
	return s.knownConfiguration(tx, "ConfigurationName", nameOrARN, "")
}

// holdConfigurationTx is configurationTx, and keeps the configuration from being deleted
// before the transaction ends. Whoever gives it a ticket calls it.
func (s *Service) holdConfigurationTx(tx *store.Tx, nameOrARN string) (configuration, error) {
	return s.knownConfiguration(tx, "ConfigurationName", nameOrARN, forKeyShareOf(tx))
}

// configurationByKeyTx reads a configuration. When it was deleted the error is
// NotFoundException, and store.ErrNoRows too.
func (s *Service) configurationByKeyTx(tx *store.Tx, key store.Key) (configuration, error) {
	c, err := configurationByKey(tx, key)
	if errors.Is(err, store.ErrNoRows) {
		return configuration{}, fmt.Errorf("%w: %w", apierr.NotFound("the matchmaking configuration was deleted"), err)
	}
	c.ARN = s.resource(configurationKind, c.Name)
	return c, err
}

// configurationsTx are all configurations, oldest first.
func (s *Service) configurationsTx(tx *store.Tx) ([]configuration, error) {
	list, err := allConfigurations(tx)
	for i := range list {
		list[i].ARN = s.resource(configurationKind, list[i].Name)
	}
	return list, err
}

// knownConfiguration reads the configuration that a member of a request names, or refuses
// with NotFoundException.
func (s *Service) knownConfiguration(tx *store.Tx, field, text, lock string) (configuration, error) {
	name, err := parseName(field, configurationKind, text)
	if err != nil {
		return configuration{}, err
	}
	c, err := configurationByName(tx, name, lock)
	if errors.Is(err, store.ErrNoRows) {
		return configuration{}, apierr.NotFound("%s: matchmaking configuration %s does not exist", field, name)
	}
	c.ARN = s.resource(configurationKind, c.Name)
	return c, err
}

// configurationModel is the configuration as callers see it; what was not given is absent,
// but for the defaults.
func (s *Service) configurationModel(c configuration) types.MatchmakingConfiguration {
	m := types.MatchmakingConfiguration{
		Name:                  &c.Name,
		ConfigurationArn:      new(s.resource(configurationKind, c.Name)),
		RuleSetName:           &c.RuleSet,
		RuleSetArn:            new(s.resource(ruleSetKind, c.RuleSet)),
		FlexMatchMode:         types.FlexMatchModeWithQueue,
		GameSessionQueueArns:  c.Queues,
		AcceptanceRequired:    new(c.AcceptanceRequired),
		RequestTimeoutSeconds: new(int32(c.RequestTimeout / time.Second)),
		AdditionalPlayerCount: new(c.Additional),
		BackfillMode:          c.Backfill,
		Description:           c.Description,
		CustomEventData:       c.CustomEventData,
		NotificationTarget:    c.NotificationTarget,
		GameSessionData:       c.SessionData,
		GameProperties:        c.Properties,
		CreationTime:          &c.CreatedAt,
	}
	if c.Standalone {
		m.FlexMatchMode = types.FlexMatchModeStandalone
	}
	if c.AcceptanceTimeout > 0 {
		m.AcceptanceTimeoutSeconds = new(int32(c.AcceptanceTimeout / time.Second))
	}
	return m
}
