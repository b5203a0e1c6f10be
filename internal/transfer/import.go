package transfer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Action is what an import does to a resource.
type Action string

// The actions. Refuse is one that cannot be done; the reason is in the step's Changes.
const (
	Create Action = "create"
	Update Action = "update"
	Keep   Action = "keep"
	Refuse Action = "refuse"
)

// Step is what is done to one resource.
type Step struct {
	Action  Action
	What    string   // "fleet arena"
	Changes []string // what is done to it, or why it is refused

	do []func() error
	// active is a fleet that must be ACTIVE before.
	active string
}

// Options are what an import must be told.
type Options struct {
	Uploads map[string]string // ids of builds and scripts: the document's -> the endpoint's
	// Wait is how long to wait for managed fleets to be ACTIVE, before which their locations,
	// capacity and policies cannot be changed. That is the last thing an import does.
	Wait time.Duration
}

// Plan is what makes an endpoint as a document wants it, in the order in which it can be done.
type Plan struct {
	Steps []Step

	at   *endpoint
	wait time.Duration
}

// Refused tells whether a step cannot be done. Do then does nothing.
func (p *Plan) Refused() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Action == Refuse })
}

// Changes tells whether there is anything to do.
func (p *Plan) Changes() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Action != Keep })
}

// Do carries out the plan, and calls said with each step that is done. It stops at the first
// that fails; an import of the same document afterwards goes on there.
func (p *Plan) Do(said func(Step)) error {
	if p.Refused() {
		return fmt.Errorf("nothing is done: the plan has steps that cannot be")
	}
	for _, s := range p.Steps {
		if s.active != "" && len(s.do) > 0 {
			if err := p.await(s.active); err != nil {
				return fmt.Errorf("%s: %w", s.What, err)
			}
		}
		for _, do := range s.do {
			if err := do(); err != nil {
				return fmt.Errorf("%s %s: %w", s.Action, s.What, err)
			}
		}
		said(s)
	}
	return nil
}

// await waits until a fleet is ACTIVE.
func (p *Plan) await(fleet string) error {
	begun := time.Now()
	for {
		out, err := p.at.api.DescribeFleetAttributes(p.at.ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{p.at.fleets[fleet]}})
		if err != nil {
			return err
		}
		status := types.FleetStatusTerminated
		for _, a := range out.FleetAttributes {
			status = a.Status
		}
		if status == types.FleetStatusActive {
			return nil
		}
		if status == types.FleetStatusError || slices.Contains(gone, status) || time.Since(begun) >= p.wait {
			return fmt.Errorf("the fleet is %s; this can be done when it is ACTIVE: import again then, or wait with --wait", status)
		}
		select {
		case <-p.at.ctx.Done():
			return p.at.ctx.Err()
		case <-time.After(min(pollEvery, p.wait)):
		}
	}
}

// pollEvery is the time between two looks at a fleet that is waited for.
const pollEvery = 5 * time.Second

// Import plans what the endpoint that c calls lacks. What it has and the document does not
// name stays as it is.
func Import(ctx context.Context, c *gamelift.Client, d Document, o Options) (*Plan, error) {
	at, err := survey(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &planner{Plan: Plan{at: at, wait: o.Wait}, want: d, uploads: o.Uploads}
	p.locations()
	p.ruleSets()
	p.fleets()
	p.aliases()
	p.queues()
	p.matchmaking()
	p.whenActive()
	return &p.Plan, nil
}

type planner struct {
	Plan
	want    Document
	uploads map[string]string
}

// step begins a step; it keeps until it is told what to do.
func (p *planner) step(what string) *Step {
	p.Steps = append(p.Steps, Step{Action: Keep, What: what})
	return &p.Steps[len(p.Steps)-1]
}

func (s *Step) refuse(f string, args ...any) {
	s.Changes = slices.DeleteFunc(s.Changes, func(string) bool { return s.Action != Refuse })
	s.Action = Refuse
	s.Changes = append(s.Changes, fmt.Sprintf(f, args...))
}

// change adds something to do to a resource that is there.
func (s *Step) change(what string, do func() error) {
	if s.Action == Refuse {
		return
	}
	if s.Action == Keep {
		s.Action = Update
	}
	s.Changes = append(s.Changes, what)
	s.do = append(s.do, do)
}

func (s *Step) create(do func() error) {
	if s.Action != Refuse {
		s.Action = Create
		s.do = append([]func() error{do}, s.do...)
	}
}

// find is the item of a list that has a name.
func find[T any](list []T, name string) *T {
	i := slices.IndexFunc(list, func(x T) bool { return reflect.ValueOf(x).FieldByName("Name").String() == name })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// differences are the members, out of some, that two structures say differently.
func differences(want, have any, names ...string) (list []string) {
	w, h := reflect.ValueOf(want), reflect.ValueOf(have)
	for _, name := range names {
		if a, b := w.FieldByName(name).Interface(), h.FieldByName(name).Interface(); !same(a, b) {
			list = append(list, fmt.Sprintf("%s: %s, not %s", name, short(a), short(b)))
		}
	}
	return list
}

// short is a value on a part of a line.
func short(v any) string {
	s := cmp.Or(text(v), "nothing")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "..."
	}
	return s
}

func tagList(t Tags) (list []types.Tag) {
	for _, k := range slices.Sorted(maps.Keys(t)) {
		list = append(list, types.Tag{Key: &k, Value: aws.String(t[k])})
	}
	return list
}

// tag adds the tags that a resource lacks. Others it has stay.
func (p *planner) tag(s *Step, what string, want, have Tags) {
	missing := Tags{}
	for k, v := range want {
		if old, ok := have[k]; !ok || old != v {
			missing[k] = v
		}
	}
	if len(missing) == 0 {
		return
	}
	s.change("Tags: "+short(missing), func() error {
		_, err := p.at.api.TagResource(p.at.ctx, &gamelift.TagResourceInput{ResourceARN: aws.String(p.at.arns[what]), Tags: tagList(missing)})
		return err
	})
}

func (p *planner) locations() {
	for _, w := range p.want.Locations {
		what := "location " + w.Name
		s := p.step(what)
		if have := find(p.at.doc.Locations, w.Name); have != nil {
			p.tag(s, what, w.Tags, have.Tags)
			continue
		}
		s.create(func() error {
			_, err := p.at.api.CreateLocation(p.at.ctx, &gamelift.CreateLocationInput{LocationName: &w.Name, Tags: tagList(w.Tags)})
			return err
		})
	}
}

func (p *planner) ruleSets() {
	for _, w := range p.want.RuleSets {
		what := "rule set " + w.Name
		s := p.step(what)
		if have := find(p.at.doc.RuleSets, w.Name); have != nil {
			if have.Body != w.Body {
				s.refuse("the endpoint has another rule set of this name, and rule sets never change: give one of them another name")
			}
			p.tag(s, what, w.Tags, have.Tags)
			continue
		}
		s.create(func() error {
			_, err := p.at.api.CreateMatchmakingRuleSet(p.at.ctx, &gamelift.CreateMatchmakingRuleSetInput{Name: &w.Name, RuleSetBody: &w.Body, Tags: tagList(w.Tags)})
			return err
		})
	}
}

func (p *planner) fleets() {
	for _, w := range p.want.Fleets {
		what := "fleet " + w.Name
		s := p.step(what)
		if ids := p.at.twice[what]; ids != nil {
			s.refuse("the endpoint has %d fleets of this name (%s)", len(ids), strings.Join(ids, ", "))
			continue
		}
		have := find(p.at.doc.Fleets, w.Name)
		if have != nil {
			p.updateFleet(s, what, w, *have)
			continue
		}
		build, script, reason := p.upload(w)
		if reason != "" {
			s.refuse("%s", reason)
			continue
		}
		s.create(func() error { return p.createFleet(w, build, script) })
	}
}

// whenActive adds what can be done to a managed fleet only when it is ACTIVE.
func (p *planner) whenActive() {
	for _, w := range p.want.Fleets {
		if w.ComputeType == types.ComputeTypeAnywhere || slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Action == Refuse && s.What == "fleet "+w.Name }) {
			continue
		}
		s := p.step("fleet " + w.Name + ", when it is ACTIVE")
		s.active = w.Name
		have := find(p.at.doc.Fleets, w.Name)
		if have == nil {
			have = &Fleet{Places: created(w)}
		} else {
			p.ports(s, w, *have)
		}
		p.places(s, w, *have)
		if s.Action == Keep {
			p.Steps = p.Steps[:len(p.Steps)-1]
		}
	}
}

// created are the places of a fleet as CreateFleet makes them.
func created(w Fleet) (list []Place) {
	for _, at := range w.Places {
		list = append(list, Place{Location: at.Location})
	}
	return list
}

// upload is the build or script at the endpoint of one in the document, or why there is none.
func (p *planner) upload(w Fleet) (build, script *string, reason string) {
	var ids []string
	u, kind := w.Build, "build"
	switch {
	case w.Script != nil:
		u, kind = w.Script, "script"
		for _, x := range p.at.scripts {
			if same(x.Name, u.Name) && same(x.Version, u.Version) {
				ids = append(ids, *x.ScriptId)
			}
		}
	case w.Build != nil:
		for _, x := range p.at.builds {
			if x.Status == types.BuildStatusReady && same(x.Name, u.Name) && same(x.Version, u.Version) {
				ids = append(ids, *x.BuildId)
			}
		}
	default:
		return nil, nil, ""
	}
	if told, ok := p.uploads[u.ID]; ok {
		ids = []string{told}
	}
	if len(ids) != 1 {
		return nil, nil, fmt.Sprintf("its %s is %s (name %s, version %s), and the endpoint has %d of this name and version: upload it there, or say which by --upload %s=ID",
			kind, u.ID, short(u.Name), short(u.Version), len(ids), u.ID)
	}
	if kind == "script" {
		return nil, &ids[0], ""
	}
	return &ids[0], nil, ""
}

func (p *planner) createFleet(w Fleet, build, script *string) error {
	in := &gamelift.CreateFleetInput{
		Name: &w.Name, Description: w.Description, ComputeType: w.ComputeType, AnywhereConfiguration: w.AnywhereConfiguration,
		BuildId: build, ScriptId: script, FleetType: w.FleetType, EC2InstanceType: w.InstanceType,
		InstanceRoleArn: w.InstanceRoleArn, InstanceRoleCredentialsProvider: w.InstanceRoleCredentialsProvider,
		CertificateConfiguration: w.CertificateConfiguration, PlayerGatewayMode: w.PlayerGatewayMode,
		PlayerGatewayConfiguration: w.PlayerGatewayConfiguration, LogPaths: w.LogPaths, MetricGroups: w.MetricGroups,
		NewGameSessionProtectionPolicy: w.NewGameSessionProtectionPolicy, ResourceCreationLimitPolicy: w.ResourceCreationLimitPolicy,
		RuntimeConfiguration: w.RuntimeConfiguration, EC2InboundPermissions: w.InboundPermissions, Tags: tagList(w.Tags),
	}
	if w.RuntimeConfiguration == nil {
		in.ServerLaunchPath, in.ServerLaunchParameters = w.ServerLaunchPath, w.ServerLaunchParameters
	}
	if len(w.Places) > 1 || w.ComputeType == types.ComputeTypeAnywhere { // a fleet of its home alone names none
		for _, at := range w.Places {
			in.Locations = append(in.Locations, types.LocationConfiguration{Location: aws.String(cmp.Or(at.Location, p.at.doc.Region))})
		}
	}
	out, err := p.at.api.CreateFleet(p.at.ctx, in)
	if err != nil {
		return err
	}
	p.at.fleets[w.Name] = aws.ToString(out.FleetAttributes.FleetId)
	p.at.arns["fleet "+w.Name] = aws.ToString(out.FleetAttributes.FleetArn)
	return nil
}

// What a fleet is for good, and what an update changes.
var (
	fixedOfFleet = []string{
		"ComputeType", "FleetType", "InstanceType", "InstanceRoleArn", "InstanceRoleCredentialsProvider", "CertificateConfiguration",
		"PlayerGatewayMode", "PlayerGatewayConfiguration", "LogPaths",
	}
	looseOfFleet = []string{"Description", "AnywhereConfiguration", "MetricGroups", "NewGameSessionProtectionPolicy", "ResourceCreationLimitPolicy"}
)

func (p *planner) fleetID(name string) *string { return aws.String(p.at.fleets[name]) }

func (p *planner) updateFleet(s *Step, what string, w, have Fleet) {
	for _, d := range differences(w, have, fixedOfFleet...) {
		s.refuse("%s; this is fixed when a fleet is created", d)
	}
	if (w.Build == nil) != (have.Build == nil) || (w.Script == nil) != (have.Script == nil) {
		s.refuse("one of the two fleets has a build and the other a script")
	}
	for _, u := range [][2]*Upload{{w.Build, have.Build}, {w.Script, have.Script}} {
		if u[0] != nil && u[1] != nil && p.uploads[u[0].ID] != u[1].ID && (!same(u[0].Name, u[1].Name) || !same(u[0].Version, u[1].Version)) {
			s.refuse("its build or script is %s (version %s), not %s (version %s); a fleet keeps the one it was created with", short(u[0].Name), short(u[0].Version), short(u[1].Name), short(u[1].Version))
		}
	}
	if s.Action == Refuse {
		return
	}
	if d := differences(w, have, looseOfFleet...); len(d) > 0 {
		s.change(strings.Join(d, "; "), func() error {
			_, err := p.at.api.UpdateFleetAttributes(p.at.ctx, &gamelift.UpdateFleetAttributesInput{
				FleetId: p.fleetID(w.Name), Description: cleared(w.Description, have.Description), AnywhereConfiguration: w.AnywhereConfiguration,
				MetricGroups: w.MetricGroups, NewGameSessionProtectionPolicy: w.NewGameSessionProtectionPolicy,
				ResourceCreationLimitPolicy: w.ResourceCreationLimitPolicy,
			})
			return err
		})
	}
	if w.RuntimeConfiguration != nil && !same(w.RuntimeConfiguration, have.RuntimeConfiguration) {
		s.change("RuntimeConfiguration: "+short(w.RuntimeConfiguration), func() error {
			_, err := p.at.api.UpdateRuntimeConfiguration(p.at.ctx, &gamelift.UpdateRuntimeConfigurationInput{FleetId: p.fleetID(w.Name), RuntimeConfiguration: w.RuntimeConfiguration})
			return err
		})
	}
	if w.ComputeType == types.ComputeTypeAnywhere {
		p.places(s, w, have)
	}
	p.tag(s, what, w.Tags, have.Tags)
}

// cleared is want; where it takes something away, the empty text.
func cleared(want, have *string) *string {
	if want == nil && have != nil {
		return aws.String("")
	}
	return want
}

// ports are a whole: those that the document does not name are revoked.
func (p *planner) ports(s *Step, w, have Fleet) {
	open, shut := without(w.InboundPermissions, have.InboundPermissions), without(have.InboundPermissions, w.InboundPermissions)
	if len(open)+len(shut) == 0 {
		return
	}
	s.change(fmt.Sprintf("InboundPermissions: %d more, %d less", len(open), len(shut)), func() error {
		_, err := p.at.api.UpdateFleetPortSettings(p.at.ctx, &gamelift.UpdateFleetPortSettingsInput{
			FleetId: p.fleetID(w.Name), InboundPermissionAuthorizations: open, InboundPermissionRevocations: shut,
		})
		return err
	})
}

func without(list, others []types.IpPermission) (rest []types.IpPermission) {
	for _, x := range list {
		if !slices.ContainsFunc(others, func(o types.IpPermission) bool { return same(x, o) }) {
			rest = append(rest, x)
		}
	}
	return rest
}

// places compares the locations of a fleet, their capacity and their actions, and then the
// policies, which a fleet must be able to follow.
func (p *planner) places(s *Step, w, have Fleet) {
	for _, at := range w.Places {
		old := Place{Location: at.Location}
		if i := slices.IndexFunc(have.Places, func(x Place) bool { return x.Location == at.Location }); i >= 0 {
			old = have.Places[i]
		} else {
			s.change("Places: "+at.Location+" is new", func() error {
				_, err := p.at.api.CreateFleetLocations(p.at.ctx, &gamelift.CreateFleetLocationsInput{
					FleetId: p.fleetID(w.Name), Locations: []types.LocationConfiguration{{Location: aws.String(at.Location)}},
				})
				return err
			})
		}
		p.actions(s, w, at, old)
		p.capacity(s, w, at, old)
	}
	for _, policy := range w.ScalingPolicies {
		if old := find(have.ScalingPolicies, policy.Name); old != nil && same(*old, policy) {
			continue
		}
		s.change("ScalingPolicies: "+policy.Name, func() error {
			_, err := p.at.api.PutScalingPolicy(p.at.ctx, &gamelift.PutScalingPolicyInput{
				FleetId: p.fleetID(w.Name), Name: &policy.Name, PolicyType: policy.PolicyType, MetricName: policy.MetricName,
				ComparisonOperator: policy.ComparisonOperator, Threshold: policy.Threshold, EvaluationPeriods: policy.EvaluationPeriods,
				ScalingAdjustment: policy.ScalingAdjustment, ScalingAdjustmentType: policy.ScalingAdjustmentType, TargetConfiguration: policy.TargetConfiguration,
			})
			return err
		})
	}
}

func (p *planner) capacity(s *Step, w Fleet, at, old Place) {
	d := differences(at, old, "MinSize", "MaxSize", "ManagedCapacityConfiguration")
	if at.Desired != nil {
		d = append(d, differences(at, old, "Desired")...)
	}
	if w.ComputeType == types.ComputeTypeAnywhere || len(d) == 0 {
		return
	}
	where, location := "home", (*string)(nil)
	if at.Location != "" {
		where, location = at.Location, aws.String(at.Location)
	}
	s.change("Places: "+where+": "+strings.Join(d, "; "), func() error {
		_, err := p.at.api.UpdateFleetCapacity(p.at.ctx, &gamelift.UpdateFleetCapacityInput{
			FleetId: p.fleetID(w.Name), Location: location, DesiredInstances: at.Desired, MinSize: at.MinSize, MaxSize: at.MaxSize,
			ManagedCapacityConfiguration: at.ManagedCapacityConfiguration,
		})
		return err
	})
}

// actions stops and starts what a place's fleet may do.
func (p *planner) actions(s *Step, w Fleet, at, old Place) {
	var location *string
	if at.Location != "" {
		location = aws.String(at.Location)
	}
	for _, a := range at.StoppedActions {
		if !slices.Contains(old.StoppedActions, a) {
			s.change("StoppedActions: "+string(a), func() error {
				_, err := p.at.api.StopFleetActions(p.at.ctx, &gamelift.StopFleetActionsInput{FleetId: p.fleetID(w.Name), Location: location, Actions: []types.FleetAction{a}})
				return err
			})
		}
	}
	for _, a := range old.StoppedActions {
		if !slices.Contains(at.StoppedActions, a) {
			s.change("StoppedActions: not "+string(a), func() error {
				_, err := p.at.api.StartFleetActions(p.at.ctx, &gamelift.StartFleetActionsInput{FleetId: p.fleetID(w.Name), Location: location, Actions: []types.FleetAction{a}})
				return err
			})
		}
	}
}

func (p *planner) aliases() {
	for _, w := range p.want.Aliases {
		what := "alias " + w.Name
		s := p.step(what)
		if ids := p.at.twice[what]; ids != nil {
			s.refuse("the endpoint has %d aliases of this name (%s)", len(ids), strings.Join(ids, ", "))
			continue
		}
		if w.Fleet != "" {
			p.needs(s, "fleet "+w.Fleet, find(p.want.Fleets, w.Fleet) != nil || p.at.fleets[w.Fleet] != "")
		}
		routing := func() *types.RoutingStrategy {
			r := &types.RoutingStrategy{Type: w.Type, Message: w.Message}
			if w.Fleet != "" {
				r.FleetId = p.fleetID(w.Fleet)
			}
			return r
		}
		have := find(p.at.doc.Aliases, w.Name)
		if have == nil {
			s.create(func() error {
				out, err := p.at.api.CreateAlias(p.at.ctx, &gamelift.CreateAliasInput{Name: &w.Name, Description: w.Description, RoutingStrategy: routing(), Tags: tagList(w.Tags)})
				if err != nil {
					return err
				}
				p.at.arns[what] = aws.ToString(out.Alias.AliasArn)
				return nil
			})
			continue
		}
		if d := differences(w, *have, "Description", "Type", "Fleet", "Message"); len(d) > 0 {
			s.change(strings.Join(d, "; "), func() error {
				_, err := p.at.api.UpdateAlias(p.at.ctx, &gamelift.UpdateAliasInput{
					AliasId: aws.String(p.at.aliases[w.Name]), Description: cleared(w.Description, have.Description), RoutingStrategy: routing(),
				})
				return err
			})
		}
		p.tag(s, what, w.Tags, have.Tags)
	}
}

// needs refuses a step that refers to what is neither in the document nor at the endpoint.
func (p *planner) needs(s *Step, what string, there bool) {
	if !there {
		s.refuse("%s is neither in the document nor at the endpoint", what)
	}
}

func (p *planner) queues() {
	for _, w := range p.want.Queues {
		what := "queue " + w.Name
		s := p.step(what)
		for _, d := range w.Destinations {
			if d.Fleet != "" {
				p.needs(s, "fleet "+d.Fleet, find(p.want.Fleets, d.Fleet) != nil || p.at.fleets[d.Fleet] != "")
			} else {
				p.needs(s, "alias "+d.Alias, find(p.want.Aliases, d.Alias) != nil || p.at.aliases[d.Alias] != "")
			}
		}
		destinations := func() []types.GameSessionQueueDestination {
			list := []types.GameSessionQueueDestination{}
			for _, d := range w.Destinations {
				arn := p.at.arns["fleet "+d.Fleet]
				if d.Alias != "" {
					arn = p.at.arns["alias "+d.Alias]
				}
				list = append(list, types.GameSessionQueueDestination{DestinationArn: &arn})
			}
			return list
		}
		have := find(p.at.doc.Queues, w.Name)
		if have == nil {
			s.create(func() error {
				out, err := p.at.api.CreateGameSessionQueue(p.at.ctx, &gamelift.CreateGameSessionQueueInput{
					Name: &w.Name, TimeoutInSeconds: w.TimeoutInSeconds, Destinations: destinations(), PlayerLatencyPolicies: w.PlayerLatencyPolicies,
					PriorityConfiguration: w.PriorityConfiguration, FilterConfiguration: w.FilterConfiguration,
					CustomEventData: w.CustomEventData, NotificationTarget: w.NotificationTarget, Tags: tagList(w.Tags),
				})
				if err != nil {
					return err
				}
				p.at.arns[what] = aws.ToString(out.GameSessionQueue.GameSessionQueueArn)
				return nil
			})
			continue
		}
		if d := differences(w, *have, "TimeoutInSeconds", "Destinations", "PlayerLatencyPolicies", "PriorityConfiguration", "FilterConfiguration", "CustomEventData", "NotificationTarget"); len(d) > 0 {
			s.change(strings.Join(d, "; "), func() error {
				in := &gamelift.UpdateGameSessionQueueInput{
					Name: &w.Name, TimeoutInSeconds: w.TimeoutInSeconds, Destinations: destinations(),
					PlayerLatencyPolicies: append([]types.PlayerLatencyPolicy{}, w.PlayerLatencyPolicies...), // none: there are none
					PriorityConfiguration: w.PriorityConfiguration, FilterConfiguration: w.FilterConfiguration,
					CustomEventData: cleared(w.CustomEventData, have.CustomEventData), NotificationTarget: cleared(w.NotificationTarget, have.NotificationTarget),
				}
				if w.FilterConfiguration == nil && have.FilterConfiguration != nil {
					in.FilterConfiguration = &types.FilterConfiguration{AllowedLocations: []string{}}
				}
				if w.PriorityConfiguration == nil && have.PriorityConfiguration != nil {
					in.PriorityConfiguration = &types.PriorityConfiguration{PriorityOrder: []types.PriorityType{}, LocationOrder: []string{}}
				}
				_, err := p.at.api.UpdateGameSessionQueue(p.at.ctx, in)
				return err
			})
		}
		p.tag(s, what, w.Tags, have.Tags)
	}
}

func (p *planner) matchmaking() {
	for _, w := range p.want.Matchmaking {
		what := "matchmaking " + w.Name
		s := p.step(what)
		p.needs(s, "rule set "+w.RuleSet, find(p.want.RuleSets, w.RuleSet) != nil || p.at.arns["rule set "+w.RuleSet] != "")
		for _, q := range w.Queues {
			p.needs(s, "queue "+q, find(p.want.Queues, q) != nil || p.at.arns["queue "+q] != "")
		}
		queues := func() (arns []string) {
			for _, q := range w.Queues {
				arns = append(arns, p.at.arns["queue "+q])
			}
			return arns
		}
		have := find(p.at.doc.Matchmaking, w.Name)
		if have == nil {
			s.create(func() error {
				_, err := p.at.api.CreateMatchmakingConfiguration(p.at.ctx, &gamelift.CreateMatchmakingConfigurationInput{
					Name: &w.Name, Description: w.Description, RuleSetName: &w.RuleSet, FlexMatchMode: w.FlexMatchMode, GameSessionQueueArns: queues(),
					AcceptanceRequired: w.AcceptanceRequired, AcceptanceTimeoutSeconds: w.AcceptanceTimeoutSeconds, RequestTimeoutSeconds: w.RequestTimeoutSeconds,
					AdditionalPlayerCount: w.AdditionalPlayerCount, BackfillMode: w.BackfillMode, GameProperties: w.GameProperties,
					GameSessionData: w.GameSessionData, CustomEventData: w.CustomEventData, NotificationTarget: w.NotificationTarget, Tags: tagList(w.Tags),
				})
				return err
			})
			continue
		}
		if d := differences(w, *have, "Description", "RuleSet", "FlexMatchMode", "Queues", "AcceptanceRequired", "AcceptanceTimeoutSeconds", "RequestTimeoutSeconds",
			"AdditionalPlayerCount", "BackfillMode", "GameProperties", "GameSessionData", "CustomEventData", "NotificationTarget"); len(d) > 0 {
			s.change(strings.Join(d, "; "), func() error {
				_, err := p.at.api.UpdateMatchmakingConfiguration(p.at.ctx, &gamelift.UpdateMatchmakingConfigurationInput{
					Name: &w.Name, Description: cleared(w.Description, have.Description), RuleSetName: &w.RuleSet, FlexMatchMode: w.FlexMatchMode, GameSessionQueueArns: queues(),
					AcceptanceRequired: w.AcceptanceRequired, AcceptanceTimeoutSeconds: w.AcceptanceTimeoutSeconds, RequestTimeoutSeconds: w.RequestTimeoutSeconds,
					AdditionalPlayerCount: w.AdditionalPlayerCount, BackfillMode: w.BackfillMode, GameProperties: w.GameProperties,
					GameSessionData: cleared(w.GameSessionData, have.GameSessionData), CustomEventData: cleared(w.CustomEventData, have.CustomEventData),
					NotificationTarget: cleared(w.NotificationTarget, have.NotificationTarget),
				})
				return err
			})
		}
		p.tag(s, what, w.Tags, have.Tags)
	}
}
