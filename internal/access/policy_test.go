package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/internal/access"
)

// operations are some of the model's; awsapi's tests hold the room to all of them.
var operations = []string{
	"CreateFleet", "CreatePlayerSession", "CreatePlayerSessions", "DeleteFleet", "DescribeFleetAttributes", "DescribePlayerSessions",
	"GetComputeAccess", "GetComputeAuthToken", "GetGameSessionLogUrl", "GetInstanceAccess", "ListFleets", "RequestUploadCredentials",
	"ResolveAlias", "SearchGameSessions", "ValidateMatchmakingRuleSet",
}

func TestPolicyAllows(t *testing.T) {
	for _, test := range []struct {
		policy string
		want   []string
	}{
		{"full", operations},
		{`"full"`, operations},
		{"*", operations},
		{"read-only", []string{
			"DescribeFleetAttributes", "DescribePlayerSessions", "GetGameSessionLogUrl", "ListFleets", "ResolveAlias", "SearchGameSessions", "ValidateMatchmakingRuleSet",
		}},
		{`["DescribePlayerSessions"]`, []string{"DescribePlayerSessions"}},
		{"DescribePlayerSessions", []string{"DescribePlayerSessions"}},
		{`["Describe*", "gamelift:ListFleets"]`, []string{"DescribeFleetAttributes", "DescribePlayerSessions", "ListFleets"}},
		{" Describe* , CreatePlayerSession ", []string{"CreatePlayerSession", "DescribeFleetAttributes", "DescribePlayerSessions"}},
		{"read-only,CreatePlayerSession", []string{
			"CreatePlayerSession", "DescribeFleetAttributes", "DescribePlayerSessions", "GetGameSessionLogUrl", "ListFleets", "ResolveAlias", "SearchGameSessions",
			"ValidateMatchmakingRuleSet",
		}},
		{"*Fleet", []string{"CreateFleet", "DeleteFleet"}},
		{"*Player*", []string{"CreatePlayerSession", "CreatePlayerSessions", "DescribePlayerSessions"}},
		{"C*Player*n", []string{"CreatePlayerSession"}},
		{"Create**Session", []string{"CreatePlayerSession"}},
	} {
		p, err := access.ParsePolicy(test.policy, operations)
		if err != nil {
			t.Errorf("%s: %v", test.policy, err)
			continue
		}
		var got []string
		for _, op := range operations {
			if p.Allows(access.Request{Operation: op}) {
				got = append(got, op)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: allows %v, want %v", test.policy, got, test.want)
		}
		if again, err := access.ParsePolicy(p.String(), operations); err != nil || again.String() != p.String() {
			t.Errorf("%s: is %s, again %v, %v", test.policy, p, again, err)
		}
	}
	if (access.Policy{}).Allows(access.Request{Operation: "ListFleets"}) {
		t.Error("no policy allows something")
	}
}

func TestWrongPoliciesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "want",
		"[]":                         "empty",
		`[""]`:                       `named ""`,
		"ListFleets,":                `named ""`,
		`["ListFleet"]`:              `no operation is named "ListFleet"`,
		`["ListFleets", "Descr*z"]`:  `no operation is named "Descr*z"`,
		"listfleets,Full":            `no operation is named "listfleets", "Full"`,
		"DynamoDB*,ListFleets,Nope":  `no operation is named "DynamoDB*", "Nope"`,
		`[1]`:                        "JSON list",
		`["ListFleets"`:              "JSON list",
		`"full`:                      "JSON list",
		"CreateFleetCreateFleet":     "named",
		"CreateFleet*CreateFleet":    "named", // pieces do not overlap
		"dynamodb:ListFleets":        "named",
		`{"Effect":"Allow"}`:         "unknown field",
		"gamelift:gamelift:ListFlee": "named",
	} {
		p, err := access.ParsePolicy(text, operations)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want …%s…", text, p, err, want)
		}
	}
}
