// Package arn makes and reads the names of things: ids and Amazon Resource Names.
// It owns the formats of hosting.md 0.5 and sessions-placement.md 1.3; it knows no
// database and no operation.
package arn

import (
	"errors"
	"fmt"
	"strings"
)

// FleetID is a fleet's id, "fleet-…" or "containerfleet-…".
type FleetID string

// AliasID is an alias's id, "alias-…".
type AliasID string

// BuildID is a build's id, "build-…".
type BuildID string

// ScriptID is a script's id, "script-…".
type ScriptID string

// ComputeName is the name of a compute, unique within its fleet. It may hold one slash.
type ComputeName string

// GameSessionID is a game session's full ARN: the value clients call GameSessionId.
type GameSessionID string

// PlayerSessionID is a player session's id, "psess-<uuid>".
type PlayerSessionID string

// Location names a place: an AWS region code or a custom location ("custom-…").
type Location string

// ErrMalformed is returned (wrapped) by the parsers for text that names nothing.
var ErrMalformed = errors.New("malformed id or ARN")

// Home is the region and the account a server speaks for. Every ARN it mints carries them.
type Home struct {
	Region  string // as in "us-west-2"; Go and C# server SDKs insist on this shape
	Account string // twelve digits
}

func (h Home) make(kind, id string) string {
	return "arn:aws:gamelift:" + h.Region + ":" + h.Account + ":" + kind + "/" + id
}

// Fleet is the ARN of a fleet: with account; container fleets name their own kind.
func (h Home) Fleet(id FleetID) string {
	if strings.HasPrefix(string(id), "containerfleet-") {
		return h.make("containerfleet", string(id))
	}
	return h.make("fleet", string(id))
}

// Alias is the ARN of an alias, which carries no account (hosting.md 0.5).
func (h Home) Alias(id AliasID) string {
	return "arn:aws:gamelift:" + h.Region + "::alias/" + string(id)
}

// Build is the ARN of a build.
func (h Home) Build(id BuildID) string { return h.make("build", string(id)) }

// Script is the ARN of a script.
func (h Home) Script(id ScriptID) string { return h.make("script", string(id)) }

// Location is the ARN of a custom location.
func (h Home) Location(name Location) string { return h.make("location", string(name)) }

// Compute is the ARN of a compute. Names are unique per fleet only, and so is this ARN.
func (h Home) Compute(name ComputeName) string { return h.make("compute", string(name)) }

// GameSession is the id of a game session: without account, with the location as a path
// segment unless it is the home region (sessions-placement.md 1.3).
func (h Home) GameSession(fleet FleetID, at Location, id string) GameSessionID {
	head := "arn:aws:gamelift:" + h.Region + "::gamesession/" + string(fleet) + "/"
	if at != "" && string(at) != h.Region {
		head += string(at) + "/"
	}
	return GameSessionID(head + id)
}

// ParseFleet reads a fleet id or a fleet ARN. Only the resource part of an ARN counts.
func ParseFleet(s string) (FleetID, error) {
	id := s
	if strings.HasPrefix(s, "arn:") {
		kind, rest, ok := resource(s)
		if !ok || (kind != "fleet" && kind != "containerfleet") {
			return "", fmt.Errorf("%w: %q is not a fleet", ErrMalformed, s)
		}
		id = rest
	}
	prefix, rest, ok := strings.Cut(id, "fleet-")
	if !ok || rest == "" || strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz") != "" || !plain(rest) {
		return "", fmt.Errorf("%w: %q is not a fleet", ErrMalformed, s)
	}
	return FleetID(id), nil
}

// ParseAlias reads an alias id or an alias ARN, with or without account.
func ParseAlias(s string) (AliasID, error) {
	id := s
	if strings.HasPrefix(s, "arn:") {
		kind, rest, ok := resource(s)
		if !ok || kind != "alias" {
			return "", fmt.Errorf("%w: %q is not an alias", ErrMalformed, s)
		}
		id = rest
	}
	if rest, ok := strings.CutPrefix(id, "alias-"); !ok || rest == "" {
		return "", fmt.Errorf("%w: %q is not an alias", ErrMalformed, s)
	}
	return AliasID(id), nil
}

// ParseBuild reads a build id or a build ARN.
func ParseBuild(s string) (BuildID, error) {
	id, err := parsePrefixed(s, "build")
	return BuildID(id), err
}

// ParseScript reads a script id or a script ARN.
func ParseScript(s string) (ScriptID, error) {
	id, err := parsePrefixed(s, "script")
	return ScriptID(id), err
}

// parsePrefixed reads an id of the form "<kind>-…", or an ARN of one.
func parsePrefixed(s, kind string) (string, error) {
	id := s
	if strings.HasPrefix(s, "arn:") {
		of, rest, ok := resource(s)
		if !ok || of != kind {
			return "", fmt.Errorf("%w: %q is not a %s", ErrMalformed, s, kind)
		}
		id = rest
	}
	if rest, ok := strings.CutPrefix(id, kind+"-"); !ok || rest == "" || strings.ContainsAny(rest, " \t\r\n\v\f") {
		return "", fmt.Errorf("%w: %q is not a %s", ErrMalformed, s, kind)
	}
	return id, nil
}

// ParseLocation reads a location's name or its ARN.
func ParseLocation(s string) (Location, error) {
	if !strings.HasPrefix(s, "arn:") {
		return Location(s), nil
	}
	kind, rest, ok := resource(s)
	if !ok || kind != "location" || rest == "" {
		return "", fmt.Errorf("%w: %q is not a location", ErrMalformed, s)
	}
	return Location(rest), nil
}

// ParseCompute reads a compute's name or its ARN.
func ParseCompute(s string) (ComputeName, error) {
	if !strings.HasPrefix(s, "arn:") {
		return ComputeName(s), nil
	}
	kind, rest, ok := resource(s)
	if !ok || kind != "compute" || rest == "" {
		return "", fmt.Errorf("%w: %q is not a compute", ErrMalformed, s)
	}
	return ComputeName(rest), nil
}

// GameSessionParts is what a game session's ARN says.
type GameSessionParts struct {
	Fleet    FleetID
	Location Location // "" for the home region
	ID       string   // last segment: "gsess-<uuid>", a token or a placement id
}

// ParseGameSession reads a game session's ARN: three or four path segments. The region
// slot is not looked at, since old texts put the location there.
func ParseGameSession(s string) (GameSessionParts, error) {
	_, rest, ok := strings.Cut(s, ":gamesession/")
	if !ok || !strings.HasPrefix(s, "arn:") {
		return GameSessionParts{}, fmt.Errorf("%w: %q is not a game session", ErrMalformed, s)
	}
	seg := strings.Split(rest, "/")
	var p GameSessionParts
	switch len(seg) {
	case 2:
		p = GameSessionParts{Fleet: FleetID(seg[0]), ID: seg[1]}
	case 3:
		if seg[1] == "" {
			break // the home region is spelled by leaving the segment out
		}
		p = GameSessionParts{Fleet: FleetID(seg[0]), Location: Location(seg[1]), ID: seg[2]}
	}
	if p.Fleet == "" || p.ID == "" {
		return GameSessionParts{}, fmt.Errorf("%w: %q is not a game session", ErrMalformed, s)
	}
	return p, nil
}

// Resource splits any ARN of ours into its kind ("fleet", "alias", …) and the id behind
// the slash. ok is false when s has no such form.
func Resource(s string) (kind, id string, ok bool) {
	if !strings.HasPrefix(s, "arn:") {
		return "", "", false
	}
	return resource(s)
}

func resource(s string) (kind, id string, ok bool) {
	part := strings.SplitN(s, ":", 6)
	if len(part) != 6 || part[2] != "gamelift" {
		return "", "", false
	}
	kind, id, ok = strings.Cut(part[5], "/")
	return kind, id, ok && kind != "" && id != ""
}

func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}
