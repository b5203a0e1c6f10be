// Package fleet owns fleets, their locations and events, custom locations, aliases and VPC
// peerings (hosting.md 2 and 5). It does not know the computes, processes and sessions that
// run on a fleet; where it must end or count them it asks through its seams.
package fleet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/build"
	"github.com/matchyard/matchyard/internal/store"
	"github.com/matchyard/matchyard/internal/tag"
)

// Service is the fleet room. DB, Home, Tags and Builds are required.
type Service struct {
	DB   *store.DB
	Home arn.Home
	Tags *tag.Service
	// Builds are what managed fleets run.
	Builds *build.Service
	// Beacon is where this server's own UDP ping beacon is, HOST:PORT, which is the home
	// region's; "" when there is none.
	Beacon string
	// Beacons are those of other machines, by location; nil when there are none.
	Beacons func(tx *store.Tx) (map[arn.Location]string, error)
	// Quotas limit how much of each thing there may be. The zero value means the service's
	// own quotas.
	Quotas Quotas
	// Speed is how long at least managed fleets show each of their states. The zero value
	// shows them as soon as they are reached.
	Speed Speed
	// Expiry is the age at which managed fleets expire; AWS's is a year. Zero, the default,
	// means never.
	Expiry time.Duration
	// ErrorLife is how long managed fleets in ERROR are kept; zero means the default, less
	// than zero for ever.
	ErrorLife time.Duration

	// Deleting is called in the transaction that ends a fleet, before it is gone: whoever
	// has processes or sessions on it ends them. On managed fleets it comes after their
	// instances have ended. May be nil.
	Deleting func(tx *store.Tx, id arn.FleetID) error
	// Leaving is Deleting for one location that a fleet gives up. May be nil.
	Leaving func(tx *store.Tx, id arn.FleetID, at arn.Location) error
	// Instances are the instances of a location of a managed fleet. Nil means that there are
	// no hosts: then deletions do not wait for them.
	Instances func(tx *store.Tx, id arn.FleetID, at arn.Location) (Instances, error)
	// InstanceLimit is how many instances of a type a location has room for. Nil means that
	// nothing limits them.
	InstanceLimit func(tx *store.Tx, kind types.EC2InstanceType, at arn.Location) (int, error)
	// LastUse is when a game session last ran in a location: now when one runs, and the zero
	// time when none ever did. Nil means none ever did.
	LastUse func(tx *store.Tx, id arn.FleetID, at arn.Location) (time.Time, error)
	// EventLogURL is where the log of an event can be read for a while, by its path, which
	// EventLog understands. Nil means nowhere.
	EventLogURL func(path string) string
	// Counts tells what runs on a fleet, in one location or, when at is "", in all of them.
	// Nil means that nothing runs.
	Counts func(tx *store.Tx, id arn.FleetID, at arn.Location) (Counts, error)
}

// Counts is what runs on a fleet.
type Counts struct {
	Processes    int // server processes that are ready or host a game session
	GameSessions int // active ones
	Players      int // player sessions, active and reserved
	MaxPlayers   int // slots of the active game sessions
}

// Quotas are the limits of hosting.md 8.2. A zero field means its default.
type Quotas struct {
	AnywhereFleets       int // default 30
	ManagedFleets        int // default 20
	LocationsPerFleet    int // default 10
	CustomLocations      int // default 20
	Aliases              int // default 100
	ProcessesPerInstance int // sum of ConcurrentExecutions of a runtime configuration, default 50
	SessionsPerCreator   int // most of a ResourceCreationLimitPolicy, default 10
	PolicyMinutes        int // longest period of such a policy, default 60
}

func (q Quotas) orDefaults() Quotas {
	return Quotas{
		AnywhereFleets:       cmp.Or(q.AnywhereFleets, 30),
		ManagedFleets:        cmp.Or(q.ManagedFleets, 20),
		LocationsPerFleet:    cmp.Or(q.LocationsPerFleet, 10),
		CustomLocations:      cmp.Or(q.CustomLocations, 20),
		Aliases:              cmp.Or(q.Aliases, 100),
		ProcessesPerInstance: cmp.Or(q.ProcessesPerInstance, 50),
		SessionsPerCreator:   cmp.Or(q.SessionsPerCreator, 10),
		PolicyMinutes:        cmp.Or(q.PolicyMinutes, 60),
	}
}

// takeTx counts one more of a thing, unless limit of them exist. Call it last in a
// transaction: all creations of a kind wait for each other here.
func takeTx(tx *store.Tx, name string, limit int) error {
	n, err := tx.Exec(`UPDATE fleet_quota SET used = used + 1 WHERE name = $1 AND used < $2`, name, limit)
	if err != nil {
		return err
	}
	if n == 0 {
		return apierr.LimitExceeded("the quota of %d for %s is used up", limit, quotaNames[name])
	}
	return nil
}

// giveTx counts one less. Call it last, as takeTx.
func giveTx(tx *store.Tx, name string) error {
	_, err := tx.Exec(`UPDATE fleet_quota SET used = used - 1 WHERE name = $1`, name)
	return err
}

const (
	quotaAlias    = "alias"
	quotaAnywhere = "ANYWHERE"
	quotaManaged  = "EC2"
	quotaLocation = "location"
)

var quotaNames = map[string]string{
	quotaAlias:    "aliases",
	quotaAnywhere: "Anywhere fleets",
	quotaManaged:  "EC2 fleets",
	quotaLocation: "custom locations",
}

// Fleet is a fleet as other rooms see it.
type Fleet struct {
	Key         store.Key
	ID          arn.FleetID
	Name        string
	Status      types.FleetStatus
	ComputeType types.ComputeType
	// Protection is what new game sessions get; "" is NoProtection.
	Protection types.ProtectionPolicy
	// CreationLimit limits the game sessions of one creator; nil when there is no limit.
	CreationLimit *types.ResourceCreationLimitPolicy
	// Runtime is the runtime configuration; nil when the fleet has none. See MaxActivations
	// and ActivationTimeout for the defaults of its numbers.
	Runtime *types.RuntimeConfiguration
	// Cost is the price of an Anywhere fleet as it was sent, by which queues rank; "" when
	// it was not.
	Cost      string
	CreatedAt time.Time

	// What follows only managed fleets have. Of build and script they have one.
	Build        arn.BuildID
	BuildKey     store.Key
	Script       arn.ScriptID
	ScriptKey    store.Key
	OS           types.OperatingSystem
	InstanceType types.EC2InstanceType
	FleetType    types.FleetType
	// ServerSDK is the version that the build was made with; "" for scripts.
	ServerSDK   string
	Description string
	Ports       []types.IpPermission

	detail detail
}

// Defaults of a runtime configuration (hosting.md 2.8).
const (
	DefaultMaxActivations    = math.MaxInt32
	DefaultActivationTimeout = 300 * time.Second
)

// MaxActivations is how many game sessions may be activating at once on one compute.
func (f Fleet) MaxActivations() int32 {
	if f.Runtime == nil || f.Runtime.MaxConcurrentGameSessionActivations == nil {
		return DefaultMaxActivations
	}
	return *f.Runtime.MaxConcurrentGameSessionActivations
}

// ActivationTimeout is how long a game session may be activating.
func (f Fleet) ActivationTimeout() time.Duration {
	if f.Runtime == nil || f.Runtime.GameSessionActivationTimeoutSeconds == nil {
		return DefaultActivationTimeout
	}
	return time.Duration(*f.Runtime.GameSessionActivationTimeoutSeconds) * time.Second
}

// detail is the JSON part of a fleet's row: what was sent and is read back.
type detail struct {
	Description      *string                            `json:",omitempty"`
	Protection       types.ProtectionPolicy             `json:",omitempty"`
	CreationLimit    *types.ResourceCreationLimitPolicy `json:",omitempty"`
	MetricGroups     []string                           `json:",omitempty"`
	Runtime          *types.RuntimeConfiguration        `json:",omitempty"`
	Anywhere         *types.AnywhereConfiguration       `json:",omitempty"`
	LogPaths         []string
	LaunchPath       *string `json:",omitempty"`
	LaunchParameters *string `json:",omitempty"`

	// What follows only managed fleets have.
	BuildKey      store.Key                             `json:",omitempty"`
	ScriptKey     store.Key                             `json:",omitempty"`
	OS            types.OperatingSystem                 `json:",omitempty"`
	InstanceType  types.EC2InstanceType                 `json:",omitempty"`
	FleetType     types.FleetType                       `json:",omitempty"`
	ServerSDK     string                                `json:",omitempty"`
	Ports         []types.IpPermission                  `json:",omitempty"`
	Certificate   types.CertificateType                 `json:",omitempty"`
	Role          *string                               `json:",omitempty"`
	RoleProvider  types.InstanceRoleCredentialsProvider `json:",omitempty"`
	PeerAccount   *string                               `json:",omitempty"`
	PeerVPC       *string                               `json:",omitempty"`
	Gateway       types.PlayerGatewayMode               `json:",omitempty"`
	GatewayConfig *types.PlayerGatewayConfiguration     `json:",omitempty"`
	Zero          bool                                  `json:",omitempty"` // a location of it scales, or scaled, from zero
}

// GetTx reads a fleet. The error is store.ErrNoRows when it is unknown or deleted.
func (s *Service) GetTx(tx *store.Tx, id arn.FleetID) (Fleet, error) {
	f, err := byID(tx, id, "")
	if err == nil && f.Status == types.FleetStatusTerminated {
		return Fleet{}, store.ErrNoRows
	}
	return f, err
}

// HoldTx is GetTx, and keeps the fleet from being changed or deleted by others until the
// transaction ends: a row that refers to the fleet and is written meanwhile is seen by the
// fleet's deletion. Only for transactions that write; call it before locking rows of one's
// own, as the deletion locks the fleet first.
func (s *Service) HoldTx(tx *store.Tx, id arn.FleetID) (Fleet, error) {
	lock := ""
	if tx.Dialect() == store.Postgres {
		lock = " FOR SHARE"
	}
	f, err := byID(tx, id, lock)
	if err == nil && f.Status == types.FleetStatusTerminated {
		return Fleet{}, store.ErrNoRows
	}
	return f, err
}

// LocationTx is the state of one location of a fleet. The error is store.ErrNoRows when
// the fleet is not there.
func (s *Service) LocationTx(tx *store.Tx, id arn.FleetID, at arn.Location) (types.FleetStatus, error) {
	key, tail, err := parseID(id)
	if err != nil {
		return "", store.ErrNoRows
	}
	var status types.FleetStatus
	err = tx.QueryRow(`SELECT l.status FROM fleet_location l JOIN fleet f ON f.key = l.fleet
		WHERE l.fleet = $1 AND l.location = $2 AND f.tail = $3`, key, at, tail).Scan(&status)
	return status, err
}

// ExistsTx tells whether a fleet, an alias or a custom location exists, for the tag room.
// Other kinds do not.
func (s *Service) ExistsTx(tx *store.Tx, kind, id string) (bool, error) {
	var err error
	switch kind {
	case "fleet":
		_, err = s.GetTx(tx, arn.FleetID(id))
	case "alias":
		_, err = aliasByID(tx, arn.AliasID(id), "")
	case "location":
		err = tx.QueryRow(`SELECT name FROM location WHERE name = $1`, id).Scan(new(string))
	default:
		return false, nil
	}
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// fleetOf reads the fleet that a caller's FleetId member names, by id or ARN.
func (s *Service) fleetOf(tx *store.Tx, member *string) (Fleet, error) {
	return known(member, func(id arn.FleetID) (Fleet, error) { return s.GetTx(tx, id) })
}

// fleetToChange is fleetOf under the row's lock.
func (s *Service) fleetToChange(tx *store.Tx, member *string) (Fleet, error) {
	return known(member, func(id arn.FleetID) (Fleet, error) {
		f, err := byID(tx, id, tx.ForUpdate())
		if err == nil && f.Status == types.FleetStatusTerminated {
			return Fleet{}, store.ErrNoRows
		}
		return f, err
	})
}

func known(member *string, get func(arn.FleetID) (Fleet, error)) (Fleet, error) {
	id, err := parseFleet(member)
	if err != nil {
		return Fleet{}, err
	}
	f, err := get(id)
	if errors.Is(err, store.ErrNoRows) {
		return Fleet{}, notFound(id)
	}
	return f, err
}

func notFound(id arn.FleetID) error { return apierr.NotFound("FleetId: fleet %s does not exist", id) }

func parseFleet(member *string) (arn.FleetID, error) {
	id, err := arn.ParseFleet(*member)
	if err != nil {
		return "", apierr.InvalidRequest("FleetId: %v", err)
	}
	return id, nil
}

const fleetPrefix = "fleet-"

func mintID(key store.Key, tail int64) arn.FleetID {
	return arn.FleetID(fleetPrefix + key.UUID(tail))
}

func parseID(id arn.FleetID) (store.Key, int64, error) {
	if len(id) < len(fleetPrefix) || id[:len(fleetPrefix)] != fleetPrefix {
		return 0, 0, fmt.Errorf("%q was not made here", id)
	}
	return store.ParseUUID(string(id[len(fleetPrefix):]))
}

const fleetColumns = `key, tail, compute_type, status, name, detail, created_at, build, script`

// byID reads a fleet's row, also that of a deleted one.
func byID(tx *store.Tx, id arn.FleetID, lock string) (Fleet, error) {
	key, tail, err := parseID(id)
	if err != nil {
		return Fleet{}, store.ErrNoRows
	}
	return scan(tx.QueryRow(`SELECT `+fleetColumns+` FROM fleet WHERE key = $1 AND tail = $2`+lock, key, tail))
}

func scan(row store.Scanner) (Fleet, error) {
	var f Fleet
	var tail, created int64
	var text string
	var buildID, scriptID *string
	if err := row.Scan(&f.Key, &tail, &f.ComputeType, &f.Status, &f.Name, &text, &created, &buildID, &scriptID); err != nil {
		return Fleet{}, err
	}
	if buildID != nil {
		f.Build = arn.BuildID(*buildID)
	}
	if scriptID != nil {
		f.Script = arn.ScriptID(*scriptID)
	}
	f.ID = mintID(f.Key, tail)
	f.CreatedAt = time.UnixMilli(created).UTC()
	if err := json.Unmarshal([]byte(text), &f.detail); err != nil {
		return Fleet{}, fmt.Errorf("detail of %s: %w", f.ID, err)
	}
	f.show()
	return f, nil
}

// show takes over from the detail what other rooms see of it.
func (f *Fleet) show() {
	d := f.detail
	f.Protection, f.CreationLimit, f.Runtime = d.Protection, d.CreationLimit, d.Runtime
	if d.Anywhere != nil {
		f.Cost = *d.Anywhere.Cost
	}
	if d.Description != nil {
		f.Description = *d.Description
	}
	f.BuildKey, f.ScriptKey, f.OS, f.InstanceType = d.BuildKey, d.ScriptKey, d.OS, d.InstanceType
	f.FleetType, f.ServerSDK, f.Ports = d.FleetType, d.ServerSDK, d.Ports
}

// attributesTx is the fleet's record as callers see it. Members that were not sent are
// absent, except those the service fills in (hosting.md 2.2).
func (s *Service) attributesTx(tx *store.Tx, f Fleet) (types.FleetAttributes, error) {
	a := s.attributes(f)
	if f.ComputeType != types.ComputeTypeEc2 {
		return a, nil
	}
	s.addManaged(&a, f)
	p, err := placeTx(tx, f, s.homePlace(), "")
	if errors.Is(err, store.ErrNoRows) { // the server's region was changed
		return a, nil
	}
	if err == nil && p.Stopped {
		a.StoppedActions = stopped
	}
	return a, err
}

// stopped are the actions that can be stopped.
var stopped = []types.FleetAction{types.FleetActionAutoScaling}

// addManaged adds what only managed fleets have.
func (s *Service) addManaged(a *types.FleetAttributes, f Fleet) {
	d := f.detail
	if f.Build != "" {
		a.BuildId, a.BuildArn = new(string(f.Build)), new(s.Home.Build(f.Build))
	}
	if f.Script != "" {
		a.ScriptId, a.ScriptArn = new(string(f.Script)), new(s.Home.Script(f.Script))
	}
	a.FleetType, a.InstanceType, a.OperatingSystem = f.FleetType, f.InstanceType, f.OS
	a.NewGameSessionProtectionPolicy = cmp.Or(f.Protection, types.ProtectionPolicyNoProtection)
	a.CertificateConfiguration.CertificateType = cmp.Or(d.Certificate, types.CertificateTypeDisabled)
	a.InstanceRoleArn, a.InstanceRoleCredentialsProvider = d.Role, d.RoleProvider
	a.PlayerGatewayMode, a.PlayerGatewayConfiguration = d.Gateway, d.GatewayConfig
}

func (s *Service) attributes(f Fleet) types.FleetAttributes {
	groups := f.detail.MetricGroups
	if len(groups) == 0 {
		groups = []string{"default"}
	}
	return types.FleetAttributes{
		FleetId:                        new(string(f.ID)),
		FleetArn:                       new(s.Home.Fleet(f.ID)),
		Name:                           new(f.Name),
		Description:                    f.detail.Description,
		Status:                         f.Status,
		ComputeType:                    f.ComputeType,
		CreationTime:                   new(f.CreatedAt),
		CertificateConfiguration:       &types.CertificateConfiguration{CertificateType: types.CertificateTypeDisabled},
		MetricGroups:                   groups,
		NewGameSessionProtectionPolicy: f.detail.Protection,
		ResourceCreationLimitPolicy:    f.detail.CreationLimit,
		AnywhereConfiguration:          f.detail.Anywhere,
		LogPaths:                       f.detail.LogPaths,
		ServerLaunchPath:               f.detail.LaunchPath,
		ServerLaunchParameters:         f.detail.LaunchParameters,
	}
}
