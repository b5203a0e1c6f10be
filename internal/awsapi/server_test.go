package awsapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/apierr"
	"github.com/matchyard/matchyard/internal/awsapi"
)

var quiet = slog.New(slog.DiscardHandler)

// client is a real SDK client of a server in this process.
func client(t *testing.T, s *awsapi.Server) *gamelift.Client {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return gamelift.New(gamelift.Options{
		BaseEndpoint: &srv.URL,
		Region:       "us-west-2",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

func TestSDKClientCallsAnOperation(t *testing.T) {
	c := client(t, &awsapi.Server{
		Auth:   awsapi.Anyone{},
		Logger: quiet,
		Operations: []awsapi.Operation{
			awsapi.Op(func(ctx context.Context, in *gamelift.ListFleetsInput) (*gamelift.ListFleetsOutput, error) {
				if who := awsapi.IdentityFrom(ctx).AccessKeyID; who != "AKIDEXAMPLE" {
					return nil, apierr.Unauthorized("%q", who)
				}
				return &gamelift.ListFleetsOutput{FleetIds: []string{"fleet-1", *in.BuildId}}, nil
			}),
			awsapi.Op(func(context.Context, *gamelift.DeleteAliasInput) (*gamelift.DeleteAliasOutput, error) {
				return nil, nil
			}),
			awsapi.Unbuilt[gamelift.CreateBuildInput, gamelift.CreateBuildOutput](),
		},
	})
	out, err := c.ListFleets(t.Context(), &gamelift.ListFleetsInput{BuildId: new("build-7"), Limit: new(int32(3))})
	if err != nil || len(out.FleetIds) != 2 || out.FleetIds[1] != "build-7" {
		t.Errorf("ListFleets: got %v, %v", out, err)
	}
	if _, err := c.DeleteAlias(t.Context(), &gamelift.DeleteAliasInput{AliasId: new("alias-1")}); err != nil {
		t.Errorf("DeleteAlias: %v", err)
	}
	_, err = c.ListFleets(t.Context(), &gamelift.ListFleetsInput{BuildId: new("nonsense"), Limit: new(int32(0))})
	const want = `2 validation errors detected: ` +
		`Value 'nonsense' at 'buildId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(build-\S+|arn:.*:build\/build-\S+)$; ` +
		`Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1`
	if e, ok := errors.AsType[*types.InvalidRequestException](err); !ok || e.ErrorMessage() != want {
		t.Errorf("bad input: got %v, want %s", err, want)
	}
	_, err = c.CreateBuild(t.Context(), &gamelift.CreateBuildInput{}, func(o *gamelift.Options) { o.RetryMaxAttempts = 1 })
	if e, ok := errors.AsType[*types.InternalServiceException](err); !ok || e.ErrorMessage() != "CreateBuild is not built into this server." {
		t.Errorf("unbuilt: got %v", err)
	}
}
