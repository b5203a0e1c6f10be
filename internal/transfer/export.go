package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/smithy-go"

	"github.com/matchyard/matchyard/paginate"
)

// Export reads the configuration of the endpoint that c calls.
func Export(ctx context.Context, c *gamelift.Client) (Document, error) {
	e, err := survey(ctx, c)
	if err != nil {
		return Document{}, err
	}
	if err := e.strangers(); err != nil {
		return Document{}, err
	}
	return e.doc, nil
}

// endpoint is what is at an endpoint: its document, and the ids behind the names.
type endpoint struct {
	ctx context.Context
	api *gamelift.Client
	doc Document

	fleets, aliases map[string]string // ids by name
	status          map[string]types.FleetStatus
	arns            map[string]string // "fleet NAME", "alias NAME", "queue NAME" … -> ARN
	builds          []types.Build
	scripts         []types.Script
	twice           map[string][]string // ids by "fleet NAME", where there are several
}

// survey reads everything but what it would only leave.
func survey(ctx context.Context, c *gamelift.Client) (*endpoint, error) {
	e := &endpoint{
		ctx: ctx, api: c, status: map[string]types.FleetStatus{}, fleets: map[string]string{}, aliases: map[string]string{}, arns: map[string]string{}, twice: map[string][]string{},
		doc: Document{Matchyard: format, Version: version, Region: c.Options().Region},
	}
	for _, part := range []func() error{e.readUploads, e.readLocations, e.readRuleSets, e.readFleets, e.readAliases, e.readQueues, e.readMatchmaking} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *endpoint) leave(f string, args ...any) {
	e.doc.Left = append(e.doc.Left, fmt.Sprintf(f, args...))
}

// all is every item of a listing.
func all[In, Out, Item any](e *endpoint, op paginate.Op[In, Out, Item], in *In) (list []Item, err error) {
	pages, err := paginate.New(op, e.api, in, paginate.Options{})
	if err != nil {
		return nil, err
	}
	for item, err := range pages.Items(e.ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

func (e *endpoint) tags(arn *string) (Tags, error) {
	out, err := e.api.ListTagsForResource(e.ctx, &gamelift.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil || len(out.Tags) == 0 {
		return nil, err
	}
	tags := Tags{}
	for _, t := range out.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags, nil
}

func (e *endpoint) readUploads() (err error) {
	if e.builds, err = all(e, paginate.ListBuilds, &gamelift.ListBuildsInput{}); err != nil {
		return err
	}
	e.scripts, err = all(e, paginate.ListScripts, &gamelift.ListScriptsInput{})
	return err
}

func (e *endpoint) readLocations() error {
	list, err := all(e, paginate.ListLocations, &gamelift.ListLocationsInput{Filters: []types.LocationFilter{types.LocationFilterCustom}})
	if err != nil {
		return err
	}
	for _, l := range list {
		x := Location{Name: aws.ToString(l.LocationName)}
		if x.Tags, err = e.tags(l.LocationArn); err != nil {
			return err
		}
		e.arns["location "+x.Name] = aws.ToString(l.LocationArn)
		e.doc.Locations = append(e.doc.Locations, x)
	}
	return nil
}

func (e *endpoint) readRuleSets() error {
	list, err := all(e, paginate.DescribeMatchmakingRuleSets, &gamelift.DescribeMatchmakingRuleSetsInput{})
	if err != nil {
		return err
	}
	for _, r := range list {
		x := RuleSet{Name: aws.ToString(r.RuleSetName), Body: aws.ToString(r.RuleSetBody)}
		if x.Tags, err = e.tags(r.RuleSetArn); err != nil {
			return err
		}
		e.arns["rule set "+x.Name] = aws.ToString(r.RuleSetArn)
		e.doc.RuleSets = append(e.doc.RuleSets, x)
	}
	return nil
}

// gone are the states of fleets that are about to end.
var gone = []types.FleetStatus{types.FleetStatusDeleting, types.FleetStatusTerminated}

func (e *endpoint) readFleets() error {
	list, err := all(e, paginate.DescribeFleetAttributes, &gamelift.DescribeFleetAttributesInput{})
	if err != nil {
		return err
	}
	for _, a := range list {
		name, id := aws.ToString(a.Name), aws.ToString(a.FleetId)
		switch {
		case slices.Contains(gone, a.Status):
			continue
		case a.Status == types.FleetStatusError:
			e.leave("fleet %s (%s): it is in ERROR", name, id)
			continue
		}
		e.note("fleet", name, id, e.fleets)
		e.status[name] = a.Status
		e.arns["fleet "+name] = aws.ToString(a.FleetArn)
		f, err := e.fleet(a)
		if err != nil {
			return fmt.Errorf("fleet %s: %w", id, err)
		}
		e.doc.Fleets = append(e.doc.Fleets, f)
	}
	return nil
}

// note keeps a name's id, and the names that are given twice.
func (e *endpoint) note(kind, name, id string, ids map[string]string) {
	if other, ok := ids[name]; ok {
		what := kind + " " + name
		if e.twice[what] == nil {
			e.twice[what] = []string{other}
		}
		e.twice[what] = append(e.twice[what], id)
	}
	ids[name] = id
}

func (e *endpoint) fleet(a types.FleetAttributes) (f Fleet, err error) {
	f = Fleet{
		Name: aws.ToString(a.Name), Description: a.Description, ComputeType: a.ComputeType, AnywhereConfiguration: a.AnywhereConfiguration,
		MetricGroups: a.MetricGroups, NewGameSessionProtectionPolicy: a.NewGameSessionProtectionPolicy,
		ResourceCreationLimitPolicy: a.ResourceCreationLimitPolicy,
	}
	if f.Tags, err = e.tags(a.FleetArn); err != nil {
		return f, err
	}
	locations, err := all(e, paginate.DescribeFleetLocationAttributes, &gamelift.DescribeFleetLocationAttributesInput{FleetId: a.FleetId})
	if err != nil {
		return f, err
	}
	managed := a.ComputeType != types.ComputeTypeAnywhere
	if managed {
		if err := e.managed(a, &f); err != nil {
			return f, err
		}
	}
	home := types.LocationAttributes{LocationState: &types.LocationState{Location: &e.doc.Region, Status: a.Status}}
	if managed && !slices.ContainsFunc(locations, func(l types.LocationAttributes) bool {
		return l.LocationState != nil && aws.ToString(l.LocationState.Location) == e.doc.Region
	}) {
		locations = slices.Insert(locations, 0, home) // which is not listed
	}
	for _, l := range locations {
		if l.LocationState == nil || slices.Contains(gone, l.LocationState.Status) {
			continue
		}
		p := Place{Location: aws.ToString(l.LocationState.Location), StoppedActions: l.StoppedActions}
		if managed {
			if p, err = e.place(f, a, p); err != nil {
				return f, err
			}
		}
		f.Places = append(f.Places, p)
	}
	return f, nil
}

// managed fills in what only managed fleets have.
func (e *endpoint) managed(a types.FleetAttributes, f *Fleet) error {
	f.FleetType, f.InstanceType = a.FleetType, a.InstanceType
	f.InstanceRoleArn, f.InstanceRoleCredentialsProvider = a.InstanceRoleArn, a.InstanceRoleCredentialsProvider
	f.CertificateConfiguration = a.CertificateConfiguration
	f.PlayerGatewayMode, f.PlayerGatewayConfiguration = a.PlayerGatewayMode, a.PlayerGatewayConfiguration
	f.LogPaths, f.ServerLaunchPath, f.ServerLaunchParameters = a.LogPaths, a.ServerLaunchPath, a.ServerLaunchParameters
	f.Build, f.Script = e.buildOf(aws.ToString(a.BuildId)), e.scriptOf(aws.ToString(a.ScriptId))
	ports, err := e.api.DescribeFleetPortSettings(e.ctx, &gamelift.DescribeFleetPortSettingsInput{FleetId: a.FleetId})
	if err != nil {
		return err
	}
	f.InboundPermissions = ports.InboundPermissions
	runtime, err := e.api.DescribeRuntimeConfiguration(e.ctx, &gamelift.DescribeRuntimeConfigurationInput{FleetId: a.FleetId})
	if err != nil {
		return err
	}
	f.RuntimeConfiguration = runtime.RuntimeConfiguration
	policies, err := all(e, paginate.DescribeScalingPolicies, &gamelift.DescribeScalingPoliciesInput{FleetId: a.FleetId})
	if err != nil {
		return err
	}
	for _, p := range policies { // a policy is described once for each location
		if p.Status == types.ScalingStatusTypeDeleted || p.Status == types.ScalingStatusTypeDeleting || p.Status == types.ScalingStatusTypeDeleteRequested {
			continue
		}
		x := Policy{
			Name: aws.ToString(p.Name), PolicyType: p.PolicyType, MetricName: p.MetricName, ComparisonOperator: p.ComparisonOperator,
			Threshold: p.Threshold, EvaluationPeriods: p.EvaluationPeriods, ScalingAdjustment: p.ScalingAdjustment,
			ScalingAdjustmentType: p.ScalingAdjustmentType, TargetConfiguration: p.TargetConfiguration,
		}
		if old := find(f.ScalingPolicies, x.Name); old == nil {
			f.ScalingPolicies = append(f.ScalingPolicies, x)
		} else if !same(*old, x) {
			e.leave("fleet %s: scaling policy %s is another one in %s, and only the first is carried", f.Name, x.Name, aws.ToString(p.Location))
		}
	}
	return nil
}

// place is a location of a managed fleet with its capacity.
func (e *endpoint) place(f Fleet, a types.FleetAttributes, p Place) (Place, error) {
	out, err := e.api.DescribeFleetLocationCapacity(e.ctx, &gamelift.DescribeFleetLocationCapacityInput{FleetId: a.FleetId, Location: &p.Location})
	if err != nil {
		return p, err
	}
	if p.Location == e.doc.Region {
		p.Location, p.StoppedActions = "", a.StoppedActions
	}
	if out.FleetCapacity == nil {
		return p, nil
	}
	p.ManagedCapacityConfiguration = out.FleetCapacity.ManagedCapacityConfiguration
	if n := out.FleetCapacity.InstanceCounts; n != nil {
		p.MinSize, p.MaxSize = n.MINIMUM, n.MAXIMUM
		scaled := len(f.ScalingPolicies) > 0 && !slices.Contains(p.StoppedActions, types.FleetActionAutoScaling)
		if m := p.ManagedCapacityConfiguration; m != nil && m.ZeroCapacityStrategy == types.ZeroCapacityStrategyScaleToAndFromZero {
			scaled = true
		}
		if !scaled {
			p.Desired = n.DESIRED
		}
	}
	return p, nil
}

func (e *endpoint) buildOf(id string) *Upload {
	if id == "" {
		return nil
	}
	u := &Upload{ID: id}
	for _, b := range e.builds {
		if aws.ToString(b.BuildId) == id {
			u.Name, u.Version = b.Name, b.Version
		}
	}
	return u
}

func (e *endpoint) scriptOf(id string) *Upload {
	if id == "" {
		return nil
	}
	u := &Upload{ID: id}
	for _, s := range e.scripts {
		if aws.ToString(s.ScriptId) == id {
			u.Name, u.Version = s.Name, s.Version
		}
	}
	return u
}

func (e *endpoint) readAliases() error {
	list, err := all(e, paginate.ListAliases, &gamelift.ListAliasesInput{})
	if err != nil {
		return err
	}
	for _, a := range list {
		x := Alias{Name: aws.ToString(a.Name), Description: a.Description}
		id := aws.ToString(a.AliasId)
		if r := a.RoutingStrategy; r != nil {
			x.Type, x.Message = r.Type, r.Message
			if r.FleetId != nil {
				if x.Fleet = nameOf(e.fleets, *r.FleetId); x.Fleet == "" {
					e.leave("alias %s (%s): its fleet %s is not carried", x.Name, id, *r.FleetId)
					continue
				}
			}
		}
		if x.Tags, err = e.tags(a.AliasArn); err != nil {
			return err
		}
		e.note("alias", x.Name, id, e.aliases)
		e.arns["alias "+x.Name] = aws.ToString(a.AliasArn)
		e.doc.Aliases = append(e.doc.Aliases, x)
	}
	return nil
}

func nameOf(ids map[string]string, id string) string {
	for name, other := range ids {
		if other == id {
			return name
		}
	}
	return ""
}

func (e *endpoint) readQueues() error {
	list, err := all(e, paginate.DescribeGameSessionQueues, &gamelift.DescribeGameSessionQueuesInput{})
	if err != nil {
		return err
	}
	for _, q := range list {
		x := Queue{
			Name: aws.ToString(q.Name), TimeoutInSeconds: q.TimeoutInSeconds, PlayerLatencyPolicies: q.PlayerLatencyPolicies,
			PriorityConfiguration: q.PriorityConfiguration, FilterConfiguration: q.FilterConfiguration,
			CustomEventData: q.CustomEventData, NotificationTarget: q.NotificationTarget,
		}
		for _, d := range q.Destinations {
			to := e.destination(aws.ToString(d.DestinationArn))
			if to == (Destination{}) {
				e.leave("queue %s: its destination %s is no fleet or alias that is carried", x.Name, aws.ToString(d.DestinationArn))
				continue
			}
			x.Destinations = append(x.Destinations, to)
		}
		if x.Tags, err = e.tags(q.GameSessionQueueArn); err != nil {
			return err
		}
		e.arns["queue "+x.Name] = aws.ToString(q.GameSessionQueueArn)
		e.doc.Queues = append(e.doc.Queues, x)
	}
	return nil
}

// destination is what an ARN of this region names.
func (e *endpoint) destination(arn string) Destination {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[3] != e.doc.Region {
		return Destination{}
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "fleet":
		return Destination{Fleet: nameOf(e.fleets, id)}
	case "alias":
		return Destination{Alias: nameOf(e.aliases, id)}
	}
	return Destination{}
}

func (e *endpoint) readMatchmaking() error {
	list, err := all(e, paginate.DescribeMatchmakingConfigurations, &gamelift.DescribeMatchmakingConfigurationsInput{})
	if err != nil {
		return err
	}
next:
	for _, m := range list {
		x := Matchmaking{
			Name: aws.ToString(m.Name), Description: m.Description, RuleSet: aws.ToString(m.RuleSetName), FlexMatchMode: m.FlexMatchMode,
			AcceptanceRequired: m.AcceptanceRequired, AcceptanceTimeoutSeconds: m.AcceptanceTimeoutSeconds,
			RequestTimeoutSeconds: m.RequestTimeoutSeconds, AdditionalPlayerCount: m.AdditionalPlayerCount, BackfillMode: m.BackfillMode,
			GameProperties: m.GameProperties, GameSessionData: m.GameSessionData, CustomEventData: m.CustomEventData,
			NotificationTarget: m.NotificationTarget,
		}
		for _, arn := range m.GameSessionQueueArns {
			name := arn[strings.LastIndexByte(arn, '/')+1:]
			if e.arns["queue "+name] != arn {
				e.leave("matchmaking configuration %s: its queue %s is not one of this endpoint", x.Name, arn)
				continue next
			}
			x.Queues = append(x.Queues, name)
		}
		if x.Tags, err = e.tags(m.ConfigurationArn); err != nil {
			return err
		}
		e.arns["matchmaking "+x.Name] = aws.ToString(m.ConfigurationArn)
		e.doc.Matchmaking = append(e.doc.Matchmaking, x)
	}
	return nil
}

// strangers finds what cannot be carried at all: names that are no names, and kinds of
// resources that a document does not know.
func (e *endpoint) strangers() error {
	for what, ids := range e.twice {
		return fmt.Errorf("there is more than one %s: %s; an import tells them by their names, so rename all but one", what, strings.Join(ids, ", "))
	}
	for _, b := range e.builds {
		e.leave("build %s (%s): its files must be uploaded to the other endpoint", aws.ToString(b.Name), aws.ToString(b.BuildId))
	}
	for _, s := range e.scripts {
		e.leave("script %s (%s): its files must be uploaded to the other endpoint", aws.ToString(s.Name), aws.ToString(s.ScriptId))
	}
	e.api = gamelift.New(e.api.Options(), func(o *gamelift.Options) { o.Retryer = aws.NopRetryer{} }) // a server without these has none in a moment either
	groups, err := all(e, paginate.ListGameServerGroups, &gamelift.ListGameServerGroupsInput{})
	if err != nil && !unbuilt(err) {
		return err
	}
	for _, g := range groups {
		e.leave("game server group %s: not carried", aws.ToString(g.GameServerGroupName))
	}
	containers, err := all(e, paginate.ListContainerFleets, &gamelift.ListContainerFleetsInput{})
	if err != nil && !unbuilt(err) {
		return err
	}
	for _, f := range containers {
		e.leave("container fleet %s: not carried", aws.ToString(f.FleetId))
	}
	definitions, err := all(e, paginate.ListContainerGroupDefinitions, &gamelift.ListContainerGroupDefinitionsInput{})
	if err != nil && !unbuilt(err) {
		return err
	}
	for _, d := range definitions {
		e.leave("container group definition %s: not carried", aws.ToString(d.Name))
	}
	return nil
}

// unbuilt tells whether an endpoint says that it has no such operation.
func unbuilt(err error) bool {
	said, ok := errors.AsType[smithy.APIError](err)
	return ok && (said.ErrorCode() == "InternalServiceException" && strings.Contains(said.ErrorMessage(), "not built") ||
		strings.HasPrefix(said.ErrorCode(), "UnsupportedOperation") || strings.HasPrefix(said.ErrorCode(), "UnknownOperation"))
}
