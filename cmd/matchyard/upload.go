package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/matchyard/matchyard/internal/archive"
	"github.com/matchyard/matchyard/internal/blob"
)

// uploadCmd does what "aws gamelift upload-build" does, against one endpoint, and sees it
// through to the end.
type uploadCmd struct {
	Root      string            `required:"" type:"existingdir" placeholder:"DIR" env:"-" help:"The folder with the game server."`
	Name      string            `required:"" env:"-" help:"The build's name."`
	Version   string            `name:"build-version" placeholder:"TEXT" env:"-" help:"The build's version."`
	OS        string            `name:"operating-system" placeholder:"OS" env:"-" help:"What it runs on, as in AMAZON_LINUX_2023 (the default) or WINDOWS_2022."`
	ServerSDK string            `name:"server-sdk-version" placeholder:"N.N.N" env:"-" help:"The server SDK it was made with."`
	Tags      map[string]string `placeholder:"KEY=VALUE" env:"-" help:"Tags of the build."`
	Endpoint  string            `default:"http://127.0.0.1:9170" placeholder:"URL" env:"AWS_ENDPOINT_URL_GAMELIFT,AWS_ENDPOINT_URL" help:"The server. Default: http://127.0.0.1:9170."`
	Region    string            `placeholder:"REGION" env:"-" help:"The server's region. Default: that of the AWS configuration, or us-west-2."`
	Wait      time.Duration     `default:"10m" placeholder:"DURATION" env:"-" help:"How long to wait until the build is READY; 0 does not wait. Default: 10m."`
}

func (c *uploadCmd) Run(ctx context.Context, out *stdout) error {
	file, err := os.CreateTemp("", "matchyard-build-*.zip")
	if err != nil {
		return err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	packed, err := archive.Pack(ctx, file, c.Root)
	if err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	api, settings, err := c.client(ctx)
	if err != nil {
		return err
	}
	made, err := api.CreateBuild(ctx, c.input())
	if err != nil {
		return err
	}
	id := *made.Build.BuildId
	_, _ = fmt.Fprintf(out, "%s: %d files, %d bytes, %d packed\n", id, packed.Files, packed.Bytes, size)
	keys := made.UploadCredentials
	settings.Credentials = credentials.NewStaticCredentialsProvider(*keys.AccessKeyId, *keys.SecretAccessKey, *keys.SessionToken)
	to := s3.NewFromConfig(settings, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = &c.Endpoint, true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired // the whole body is signed
	})
	if err := blob.NewS3(to, *made.StorageLocation.Bucket).Put(ctx, *made.StorageLocation.Key, file, size); err != nil {
		return err
	}
	if c.Wait == 0 {
		return nil
	}
	return c.wait(ctx, api, id, out)
}

func (c *uploadCmd) input() *gamelift.CreateBuildInput {
	in := &gamelift.CreateBuildInput{Name: &c.Name, OperatingSystem: types.OperatingSystem(c.OS)}
	if c.Version != "" {
		in.Version = &c.Version
	}
	if c.ServerSDK != "" {
		in.ServerSdkVersion = &c.ServerSDK
	}
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		in.Tags = append(in.Tags, types.Tag{Key: new(key), Value: new(c.Tags[key])})
	}
	return in
}

// client is a client of the server, with whatever credentials AWS's tools would take. A
// server for development takes any, so that having none is no reason to fail.
func (c *uploadCmd) client(ctx context.Context) (*gamelift.Client, aws.Config, error) {
	settings, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, settings, err
	}
	settings.Region = cmp.Or(c.Region, settings.Region, "us-west-2")
	if _, err := settings.Credentials.Retrieve(ctx); err != nil {
		settings.Credentials = credentials.NewStaticCredentialsProvider("any", "thing", "")
	}
	return gamelift.NewFromConfig(settings, func(o *gamelift.Options) { o.BaseEndpoint = &c.Endpoint }), settings, nil
}

// wait waits until the build is READY, and fails if it is FAILED.
func (c *uploadCmd) wait(ctx context.Context, api *gamelift.Client, id string, out *stdout) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	for {
		got, err := api.DescribeBuild(ctx, &gamelift.DescribeBuildInput{BuildId: &id})
		if err != nil {
			return err
		}
		switch got.Build.Status {
		case types.BuildStatusReady:
			_, err := fmt.Fprintf(out, "%s: READY\n", id)
			return err
		case types.BuildStatusFailed:
			return fmt.Errorf("%s is FAILED; the server's log says why", id)
		case types.BuildStatusInitialized:
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not READY after %s", id, c.Wait)
			}
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
