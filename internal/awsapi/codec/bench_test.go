package codec

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// joins is a CreatePlayerSessions of so many players.
func joins(n int) *gamelift.CreatePlayerSessionsInput {
	in := &gamelift.CreatePlayerSessionsInput{
		GameSessionId: new("arn:aws:gamelift:us-west-2::gamesession/fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa/gsess-019b7ca9-8c88-7000-8162-6b26601c95a7"),
		PlayerDataMap: map[string]string{},
	}
	for i := range n {
		id := fmt.Sprintf("player-%04d-6b26601c95a7", i)
		in.PlayerIds = append(in.PlayerIds, id)
		in.PlayerDataMap[id] = `{"team":"red","skill":23}`
	}
	return in
}

// page is a DescribePlayerSessions answer of so many player sessions.
func page(n int) *gamelift.DescribePlayerSessionsOutput {
	out := &gamelift.DescribePlayerSessionsOutput{NextToken: new("/wAAAAAAAAAAAAAAAAAAAAAAaQ==")}
	for i := range n {
		out.PlayerSessions = append(out.PlayerSessions, types.PlayerSession{
			PlayerSessionId: new(fmt.Sprintf("psess-019b7ca9-8c88-7000-8162-6b26601c%04d", i)),
			PlayerId:        new(fmt.Sprintf("player-%04d", i)),
			GameSessionId:   new("arn:aws:gamelift:us-west-2::gamesession/fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa/gsess-019b7ca9-8c88-7000-8162-6b26601c95a7"),
			FleetId:         new("fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa"),
			FleetArn:        new("arn:aws:gamelift:us-west-2:123456789012:fleet/fleet-2222bbbb-33cc-44dd-55ee-6666ffff77aa"),
			CreationTime:    new(time.UnixMilli(1714979289123 + int64(i))),
			TerminationTime: new(time.UnixMilli(1714979349000)),
			Status:          types.PlayerSessionStatusTimedout,
			IpAddress:       new("10.20.30.40"),
			DnsName:         new("ec2-10-20-30-40.us-west-2.compute.amazonaws.com"),
			Port:            new(int32(7777)),
			PlayerData:      new(`{"team":"red","skill":23}`),
		})
	}
	return out
}

func planFor(b testing.TB, name string) (in, out *Plan) {
	b.Helper()
	inType, outType := operationTypes(b, name)
	for _, p := range structures(b) {
		if p.typ == inType {
			in = p
		}
		if p.typ == outType {
			out = p
		}
	}
	return in, out
}

func BenchmarkDecode25Players(b *testing.B) {
	plan, _ := planFor(b, "CreatePlayerSessions")
	for _, protocol := range []Protocol{JSON, CBOR} {
		b.Run(protocol.String(), func(b *testing.B) {
			body := plan.Append(nil, protocol, joins(25))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := plan.Decode(protocol, body, new(gamelift.CreatePlayerSessionsInput)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode100Players(b *testing.B) {
	_, plan := planFor(b, "DescribePlayerSessions")
	for _, protocol := range []Protocol{JSON, CBOR} {
		b.Run(protocol.String(), func(b *testing.B) {
			out := page(100)
			buffer := plan.Append(nil, protocol, out)
			b.SetBytes(int64(len(buffer)))
			b.ReportAllocs()
			for b.Loop() {
				buffer = plan.Append(buffer[:0], protocol, out)
			}
		})
	}
}

// TestEncodingAPageAllocatesNothing: it writes into the buffer it is given.
func TestEncodingAPageAllocatesNothing(t *testing.T) {
	_, plan := planFor(t, "DescribePlayerSessions")
	for _, protocol := range []Protocol{JSON, CBOR} {
		out := page(100)
		buffer := plan.Append(nil, protocol, out)
		if n := testing.AllocsPerRun(20, func() { buffer = plan.Append(buffer[:0], protocol, out) }); n > 0 {
			t.Errorf("%s: %v allocations for a page of 100", protocol, n)
		}
	}
}
