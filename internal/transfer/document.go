// Package transfer carries configuration from one GameLift endpoint to another, Amazon's own
// included, through their public API alone: locations, rule sets, fleets, aliases, queues,
// matchmaking configurations, scaling policies and tags. It knows no server and no room.
//
// A Document names things by their names, since ids and ARNs differ from endpoint to
// endpoint. To import is to export what is there, compare, and do what is missing; it never
// deletes.
package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/goccy/go-yaml"
)

const (
	format  = "configuration"
	version = 1
)

// Document is the configuration of an endpoint.
type Document struct {
	Matchyard   string // "configuration"
	Version     int
	Region      string // it comes from
	Locations   []Location
	RuleSets    []RuleSet
	Fleets      []Fleet
	Aliases     []Alias
	Queues      []Queue
	Matchmaking []Matchmaking
	// Left is what could not be carried, and why. An import says it again.
	Left []string
}

// Tags are a resource's.
type Tags map[string]string

// Location is a custom location.
type Location struct {
	Name string
	Tags Tags
}

// RuleSet is a matchmaking rule set. Its body is carried byte for byte.
type RuleSet struct {
	Name string
	Body string
	Tags Tags
}

// Fleet is an Anywhere fleet or a managed one.
type Fleet struct {
	Name                            string
	Description                     *string
	ComputeType                     types.ComputeType
	AnywhereConfiguration           *types.AnywhereConfiguration
	Build, Script                   *Upload
	FleetType                       types.FleetType
	InstanceType                    types.EC2InstanceType
	InstanceRoleArn                 *string
	InstanceRoleCredentialsProvider types.InstanceRoleCredentialsProvider
	CertificateConfiguration        *types.CertificateConfiguration
	PlayerGatewayMode               types.PlayerGatewayMode
	PlayerGatewayConfiguration      *types.PlayerGatewayConfiguration
	LogPaths                        []string
	ServerLaunchPath                *string
	ServerLaunchParameters          *string
	MetricGroups                    []string
	NewGameSessionProtectionPolicy  types.ProtectionPolicy
	ResourceCreationLimitPolicy     *types.ResourceCreationLimitPolicy
	RuntimeConfiguration            *types.RuntimeConfiguration
	InboundPermissions              []types.IpPermission
	Places                          []Place
	ScalingPolicies                 []Policy
	Tags                            Tags
}

// Upload refers to a build or a script, whose files no API gives out. On the other endpoint
// it is the one that an import is told, or the only one with this name and version.
type Upload struct {
	ID      string
	Name    *string
	Version *string
}

// Place is a location of a fleet. A managed fleet's home has no name, because it is where the
// endpoint is.
type Place struct {
	Location string
	// Of managed fleets. Desired is missing where scaling decides on it.
	Desired, MinSize, MaxSize    *int32
	ManagedCapacityConfiguration *types.ManagedCapacityConfiguration
	StoppedActions               []types.FleetAction
}

// Policy is a scaling policy of a fleet.
type Policy struct {
	Name                  string
	PolicyType            types.PolicyType
	MetricName            types.MetricName
	ComparisonOperator    types.ComparisonOperatorType
	Threshold             *float64
	EvaluationPeriods     *int32
	ScalingAdjustment     *int32
	ScalingAdjustmentType types.ScalingAdjustmentType
	TargetConfiguration   *types.TargetConfiguration
}

// Alias leads to a fleet of the document, or to a message.
type Alias struct {
	Name        string
	Description *string
	Type        types.RoutingStrategyType
	Fleet       string
	Message     *string
	Tags        Tags
}

// Queue is a game session queue.
type Queue struct {
	Name                  string
	TimeoutInSeconds      *int32
	Destinations          []Destination
	PlayerLatencyPolicies []types.PlayerLatencyPolicy
	PriorityConfiguration *types.PriorityConfiguration
	FilterConfiguration   *types.FilterConfiguration
	CustomEventData       *string
	NotificationTarget    *string
	Tags                  Tags
}

// Destination is a fleet or an alias of the document.
type Destination struct{ Fleet, Alias string }

// Matchmaking is a matchmaking configuration.
type Matchmaking struct {
	Name                     string
	Description              *string
	RuleSet                  string
	FlexMatchMode            types.FlexMatchMode
	Queues                   []string
	AcceptanceRequired       *bool
	AcceptanceTimeoutSeconds *int32
	RequestTimeoutSeconds    *int32
	AdditionalPlayerCount    *int32
	BackfillMode             types.BackfillMode
	GameProperties           []types.GameProperty
	GameSessionData          *string
	CustomEventData          *string
	NotificationTarget       *string
	Tags                     Tags
}

// YAML is the document's text. Parse gives the same document again.
func (d Document) YAML() []byte {
	var b strings.Builder
	writeYAML(&b, reflect.ValueOf(d), 0, false)
	return []byte(b.String())
}

// JSON is the document's text for programs.
func (d Document) JSON() []byte {
	var raw, b bytes.Buffer
	writeJSON(&raw, reflect.ValueOf(d))
	_ = json.Indent(&b, raw.Bytes(), "", "  ") // it is JSON
	b.WriteByte('\n')
	return b.Bytes()
}

// Parse reads a document, YAML or JSON. What it does not know is an error.
func Parse(text []byte) (d Document, err error) {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return d, fmt.Errorf("not YAML: %w", err)
		}
		if text, err = json.Marshal(v); err != nil {
			return d, fmt.Errorf("not a configuration: %w", err)
		}
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return d, fmt.Errorf("not a configuration: %w", err)
	}
	if d.Matchyard != format {
		return d, errors.New("not a configuration: it does not begin with Matchyard: configuration")
	}
	if d.Version != version {
		return d, fmt.Errorf("the configuration is of version %d, and this program reads version %d", d.Version, version)
	}
	return d, nil
}

// member is a field of a structure, or an entry of a map, that has something in it.
type member struct {
	name  string
	value reflect.Value
}

// members are what is said of a structure: empty members are not.
func members(v reflect.Value) (list []member) {
	if v.Kind() == reflect.Map {
		for _, k := range slices.Sorted(maps.Keys(v.Interface().(Tags))) {
			list = append(list, member{k, v.MapIndex(reflect.ValueOf(k))})
		}
		return list
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !empty(v.Field(i)) {
			list = append(list, member{f.Name, bare(v.Field(i))})
		}
	}
	return list
}

// empty tells what is left away. A pointer to nothing says something.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil() || v.Elem().Kind() == reflect.Struct && len(members(v.Elem())) == 0
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

func bare(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Pointer {
		return v.Elem()
	}
	return v
}

func writeJSON(b *bytes.Buffer, v reflect.Value) {
	switch v = bare(v); v.Kind() {
	case reflect.Struct, reflect.Map:
		sep := byte('{')
		for _, m := range members(v) {
			b.WriteByte(sep)
			b.WriteString(quote(m.name))
			b.WriteByte(':')
			writeJSON(b, m.value)
			sep = ','
		}
		if sep == '{' {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	case reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, v.Index(i))
		}
		b.WriteByte(']')
	default:
		b.WriteString(scalar(v))
	}
}

// same tells whether two values say the same.
func same(a, b any) bool { return text(a) == text(b) }

func text(v any) string {
	r := reflect.ValueOf(v)
	if !r.IsValid() || empty(r) {
		return ""
	}
	var b bytes.Buffer
	writeJSON(&b, r)
	return b.String()
}

// quote is a JSON string, which is a YAML string as well.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always is
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if unicode.IsPrint(r) || r > 0xffff { // of the latter, JSON and YAML have different escapes
			out.WriteRune(r)
		} else {
			_, _ = fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

func scalar(v reflect.Value) string {
	switch {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float()+0, 'f', -1, 64) // +0 is what -0 becomes
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return quote(v.String())
}

// writeYAML writes a block. The first line of one in a list stands behind the list's mark.
func writeYAML(b *strings.Builder, v reflect.Value, indent int, first bool) {
	pad := strings.Repeat("  ", indent)
	lead := func() {
		if !first {
			b.WriteString(pad)
		}
		first = false
	}
	switch v = bare(v); v.Kind() {
	case reflect.Struct, reflect.Map:
		list := members(v)
		if len(list) == 0 {
			lead()
			b.WriteString("{}\n")
		}
		for _, m := range list {
			lead()
			if v.Kind() == reflect.Map {
				b.WriteString(quote(m.name) + ":")
			} else {
				b.WriteString(m.name + ":")
			}
			writeMember(b, m.value, indent+1)
		}
	case reflect.Slice:
		for i := range v.Len() {
			lead()
			b.WriteString("- ")
			writeYAML(b, v.Index(i), indent+1, true)
		}
	default:
		lead()
		b.WriteString(word(v) + "\n")
	}
}

// writeMember writes what stands behind a name and its colon.
func writeMember(b *strings.Builder, v reflect.Value, indent int) {
	switch {
	case v.Kind() == reflect.Struct, v.Kind() == reflect.Slice, v.Kind() == reflect.Map:
		b.WriteByte('\n')
		writeYAML(b, v, indent, false)
	case v.Kind() == reflect.String && readable(v.String()):
		b.WriteString(" |-\n")
		for line := range strings.SplitSeq(v.String(), "\n") {
			b.WriteString(strings.Repeat("  ", indent) + line + "\n")
		}
	default:
		b.WriteString(" " + word(v) + "\n")
	}
}

// word is a scalar without the quotes that it does not need.
func word(v reflect.Value) string {
	if v.Kind() != reflect.String || !plain(v.String()) {
		return scalar(v)
	}
	return v.String()
}

// plain are words that YAML cannot take for anything else: letters, digits, dashes and
// underscores after a letter, and none of YAML's own words.
func plain(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '-' && c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && !slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"}, strings.ToLower(s))
}

// readable are texts of several lines that a literal block holds as they are.
func readable(s string) bool {
	lines := strings.Split(s, "\n")
	if len(lines) < 2 || lines[0] == "" || lines[len(lines)-1] == "" || lines[0] != strings.TrimLeft(lines[0], " \t") {
		return false
	}
	for _, line := range lines {
		if strings.TrimRight(line, " \t") != line {
			return false
		}
		for _, c := range line {
			if c != '\t' && (!unicode.IsPrint(c) || c == 0xfeff) {
				return false
			}
		}
	}
	return true
}
