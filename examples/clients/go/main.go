// Command go lists the players of a game session with package paginate.
//
//	export AWS_ENDPOINT_URL_GAMELIFT=http://127.0.0.1:9170 AWS_REGION=us-west-2
//	export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
//	go run ./examples/clients/go -page-size 100 -max-items 250 GAME_SESSION_ID
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/paginate"
)

func main() {
	var options paginate.Options
	status := flag.String("status", "", "RESERVED, ACTIVE, COMPLETED or TIMEDOUT")
	size := flag.Int("page-size", 0, "players in one answer of the server")
	flag.IntVar(&options.MaxItems, "max-items", 0, "players in all; the rest is behind the next token")
	flag.StringVar(&options.StartingToken, "starting-token", "", "what an earlier run printed after next, here or in Python")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: go run . [flags] GAME_SESSION_ID")
		flag.PrintDefaults()
		os.Exit(2)
	}
	options.PageSize = int32(*size)
	in := &gamelift.DescribePlayerSessionsInput{GameSessionId: new(flag.Arg(0))}
	if *status != "" {
		in.PlayerSessionStatusFilter = status
	}

	if err := list(in, options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func list(in *gamelift.DescribePlayerSessionsInput, o paginate.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// The SDK reads the endpoint, the region and the credentials from the environment.
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	it, err := paginate.New(paginate.DescribePlayerSessions, gamelift.NewFromConfig(cfg), in, o)
	if err != nil {
		return err
	}
	for p, err := range it.Items(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%s\t%s\t%s\t%d\n", *p.PlayerSessionId, *p.PlayerId, p.Status, *p.IpAddress, *p.Port)
	}
	if token, more := it.ResumeToken(); more {
		fmt.Printf("next\t%s\n", token)
	}
	return nil
}
