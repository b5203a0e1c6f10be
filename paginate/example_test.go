package paginate_test

import (
	"context"
	"fmt"
	"log" //nolint:depguard // a program of the reader's

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/paginate"
	"github.com/matchyard/matchyard/paginate/search"
)

// tournament stands in for the service in the examples: a game session of seven
// players, three to a page unless told otherwise. With a real service the client
// is gamelift.NewFromConfig(cfg).
func tournament() paginate.API {
	s := list(7, 3)
	for i := range s.players {
		s.players[i].Status = types.PlayerSessionStatusActive
		if i%3 == 0 {
			s.players[i].Status = types.PlayerSessionStatusReserved
		}
	}
	return s
}

func Example() {
	client, ctx := tournament(), context.Background()

	it, err := paginate.New(paginate.DescribePlayerSessions, client,
		&gamelift.DescribePlayerSessionsInput{GameSessionId: new("arn:aws:gamelift:us-west-2::gamesession/fleet-1/gsess-1")},
		paginate.Options{PageSize: 4})
	if err != nil {
		log.Fatal(err)
	}
	for player, err := range it.Items(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(*player.PlayerSessionId, player.Status)
	}
	fmt.Printf("%+v\n", it.Stats())
	// Output:
	// p0 RESERVED
	// p1 ACTIVE
	// p2 ACTIVE
	// p3 RESERVED
	// p4 ACTIVE
	// p5 ACTIVE
	// p6 RESERVED
	// {Calls:2 Retries:0 Items:7 EmptyPages:0}
}

func ExampleIter_Pages() {
	it, err := paginate.New(paginate.DescribePlayerSessions, tournament(), nil, paginate.Options{MaxItems: 5})
	if err != nil {
		log.Fatal(err)
	}
	for page, err := range it.Pages(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(page.PlayerSessions), "players")
	}
	// Output:
	// 3 players
	// 2 players
}

// A break in the middle of a page can be resumed at the very next item, here or
// in boto3 and the AWS CLI.
func ExampleIter_ResumeToken() {
	client, ctx := tournament(), context.Background()

	it, err := paginate.New(paginate.DescribePlayerSessions, client, nil, paginate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for player, err := range it.Items(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if *player.PlayerSessionId == "p4" {
			break
		}
	}
	token, more := it.ResumeToken()
	fmt.Println(token, more)

	rest, err := paginate.New(paginate.DescribePlayerSessions, client, nil, paginate.Options{StartingToken: token})
	if err != nil {
		log.Fatal(err)
	}
	for player, err := range rest.Items(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(*player.PlayerSessionId)
	}
	// Output:
	// eyJOZXh0VG9rZW4iOiAidDMiLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiAyfQ== true
	// p5
	// p6
}

func ExampleIter_Collect() {
	it, err := paginate.New(paginate.DescribePlayerSessions, tournament(), nil, paginate.Options{MaxItems: 6})
	if err != nil {
		log.Fatal(err)
	}
	result, err := it.Collect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	at, err := paginate.Parse(result.ResumeToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(result.Items), "players, the page after them is", *at.Next)
	// Output: 6 players, the page after them is t6
}

// Members beside the list, such as the fleet of its locations, are in Output.
func ExampleIter_Collect_output() {
	client := func(context.Context, *gamelift.DescribeFleetLocationAttributesInput, ...func(*gamelift.Options)) (*gamelift.DescribeFleetLocationAttributesOutput, error) {
		return &gamelift.DescribeFleetLocationAttributesOutput{
			FleetId: new("fleet-1"),
			LocationAttributes: []types.LocationAttributes{
				{LocationState: &types.LocationState{Location: new("custom-lan"), Status: types.FleetStatusActive}},
			},
		}, nil
	}
	it, err := paginate.NewFunc(paginate.DescribeFleetLocationAttributes, client,
		&gamelift.DescribeFleetLocationAttributesInput{FleetId: new("fleet-1")}, paginate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	result, err := it.Collect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, at := range result.Items {
		fmt.Println(*result.Output.FleetId, *at.LocationState.Location, at.LocationState.Status)
	}
	// Output: fleet-1 custom-lan ACTIVE
}

func ExampleNewFunc() {
	counted := 0
	client := tournament()
	it, err := paginate.NewFunc(paginate.DescribePlayerSessions,
		func(ctx context.Context, in *gamelift.DescribePlayerSessionsInput, opts ...func(*gamelift.Options)) (*gamelift.DescribePlayerSessionsOutput, error) {
			counted++
			return client.DescribePlayerSessions(ctx, in, opts...)
		}, nil, paginate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := it.Collect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(counted, "calls")
	// Output: 3 calls
}

func ExampleFilter() {
	it, err := paginate.New(paginate.DescribePlayerSessions, tournament(), nil, paginate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	active := paginate.Filter(it.Items(context.Background()), func(p types.PlayerSession) bool {
		return p.Status == types.PlayerSessionStatusActive
	})
	ids := paginate.Map(paginate.Take(active, 3), func(p types.PlayerSession) string { return *p.PlayerSessionId })
	for id, err := range ids {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(id)
	}
	// Output:
	// p1
	// p2
	// p4
}

func ExampleChunk() {
	it, err := paginate.New(paginate.DescribePlayerSessions, tournament(), nil, paginate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for players, err := range paginate.Chunk(it.Items(context.Background()), 4) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(players))
	}
	// Output:
	// 4
	// 3
}

func ExampleParse() {
	for _, s := range []string{"eyJOZXh0VG9rZW4iOiAidG9rLTMiLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiAyfQ==", "tok-3___2", "tok-3"} {
		token, err := paginate.Parse(s)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(*token.Next, token.Skip)
	}
	// Output:
	// tok-3 2
	// tok-3 2
	// tok-3 0
}

func Example_search() {
	it, err := paginate.New(paginate.DescribePlayerSessions, tournament(), nil, paginate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	reserved := search.Search(it.Pages(context.Background()), "PlayerSessions[?Status=='RESERVED'].PlayerSessionId")
	for id, err := range search.As[string](reserved) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(id)
	}
	// Output:
	// p0
	// p3
	// p6
}
