package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/matchyard/matchyard/paginate"
	"github.com/matchyard/matchyard/paginate/search"
)

// boto3's ways to read a listing other than page by page, and ours beside them.
func TestSearchAndFullResults(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		c := play(t, s)
		d, err := botoDriver()
		if err != nil {
			missing(t, "boto3", err)
		}
		protocols := []string{"json"}
		if d.CBOR {
			protocols = append(protocols, "cbor")
		}
		in := &gamelift.DescribePlayerSessionsInput{GameSessionId: c.room.GameSessionId}
		ask := func(protocol string, r request) reply {
			r.Do, r.Endpoint, r.Keys, r.Protocol, r.Op = "pages", s.url, s.keys(), protocol, "DescribePlayerSessions"
			r.Params = object{"GameSessionId": *c.room.GameSessionId}
			a := d.ask(t, r)
			if a.Error != nil {
				t.Fatalf("%+v: %+v", r, *a.Error)
			}
			return a
		}
		for _, k := range []struct {
			expression string
			want       string
		}{
			{"PlayerSessions[?Status=='ACTIVE'].PlayerId", `["cid"]`},
			{"PlayerSessions[].[PlayerId, Status]", `[["ann","TIMEDOUT"],["bob","COMPLETED"],["cid","ACTIVE"],["dóra \"☃\" <&> \\ 😀","RESERVED"]]`},
			{"length(PlayerSessions)", `[3,1]`}, // one number a page
			{"PlayerSessions[?PlayerData].PlayerData", `["data\twith\nlines ✓"]`},
			{"PlayerSessions[?Port > `0`].IpAddress | sort(@)", `["127.0.0.1","127.0.0.1","127.0.0.1","127.0.0.1"]`},
			{"sort_by(PlayerSessions, &PlayerId)[0].PlayerId", `["ann","dóra \"☃\" <&> \\ 😀"]`},
			{"Nothing", `[null,null]`},
		} {
			var want any
			check(t, json.Unmarshal([]byte(k.want), &want))
			for _, protocol := range protocols {
				got := ask(protocol, request{Config: &paging{PageSize: new(3)}, Search: k.expression}).Found
				if !reflect.DeepEqual(floats(got), want) {
					t.Errorf("boto3 %s: %s: got %s, want %s", protocol, k.expression, show(got), k.want)
				}
			}
			it, err := paginate.New(paginate.DescribePlayerSessions, c.api, in, paginate.Options{PageSize: 3})
			check(t, err)
			got := []any{}
			for found, err := range search.Search(it.Pages(t.Context()), k.expression) {
				check(t, err)
				got = append(got, found)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("paginate: %s: got %s, want %s", k.expression, show(got), k.want)
			}
		}

		// The whole result, cut at each length, has the token for the rest.
		want := []string{}
		for _, o := range []object{c.timedOut, c.completed, c.active, c.reserved} {
			want = append(want, o["PlayerSessionId"].(string))
		}
		for _, protocol := range protocols {
			for most := 1; most <= 5; most++ {
				first := ask(protocol, request{Config: &paging{PageSize: new(3), MaxItems: &most}, Full: true})
				got := playerSessionIDs(slices.Concat(first.Pages...))
				if (first.Resume != nil) != (most < 4) || len(got) != min(most, 4) {
					t.Fatalf("%s: MaxItems %d: %v and token %s", protocol, most, got, show(first.Resume))
				}
				if first.Resume != nil {
					it, err := paginate.New(paginate.DescribePlayerSessions, c.api, in, paginate.Options{StartingToken: *first.Resume})
					check(t, err)
					rest, err := it.Collect(t.Context())
					check(t, err)
					for _, p := range rest.Items {
						got = append(got, *p.PlayerSessionId)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: MaxItems %d, then ours: got %v, want %v", protocol, most, got, want)
				}
			}
		}

		// A range that is left in the middle of a page is finished by boto3.
		for at := 1; at < 4; at++ {
			it, err := paginate.New(paginate.DescribePlayerSessions, c.api, in, paginate.Options{PageSize: 3})
			check(t, err)
			var got []string
			for p, err := range it.Items(t.Context()) {
				check(t, err)
				if got = append(got, *p.PlayerSessionId); len(got) == at {
					break
				}
			}
			token, more := it.ResumeToken()
			if !more {
				t.Fatalf("no token after %d of 4", at)
			}
			rest := ask("json", request{Config: &paging{PageSize: new(3), StartingToken: &token}})
			if got = append(got, playerSessionIDs(slices.Concat(rest.Pages...))...); !slices.Equal(got, want) {
				t.Errorf("left after %d: got %v, want %v", at, got, want)
			}
		}
	})
}

// The roads that requests come on: under a path, over TLS with HTTP/2, and with a clock of
// the server that is far from the wall's.
func TestRoads(t *testing.T) {
	t.Parallel()
	s := dev(t, "sqlite")
	s.advance(t, 400*24*time.Hour)
	w := newFleet(t, s)
	want := object{"FleetIds": []any{w.fleet}}

	under := s.as(s.key, s.secret, s.token)
	under.url += "/gl/v1"
	eachClient(t, func(t *testing.T, c *client) {
		if got := c.must(t, under, "ListFleets", object{}); !c.same(got, want) {
			t.Errorf("under a path: %s", show(got))
		}
		// Clients that set their clock by the Date header go on signing for today.
		if got := c.must(t, s, "ListFleets", object{}); !c.same(got, want) {
			t.Errorf("after 400 days: %s", show(got))
		}
	})

	pem, err := os.ReadFile(filepath.Join(s.data, certificate))
	check(t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", pem)
	}
	var date, protocol string
	spy := roundTripper(func(r *http.Request) (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		answer, err := (&http.Client{Transport: transport}).Do(r)
		if err == nil {
			date, protocol = answer.Header.Get("Date"), answer.Proto
		}
		return answer, err
	})
	api := gamelift.New(gamelift.Options{
		Region: "us-west-2", BaseEndpoint: new(strings.Replace(s.url, "http", "https", 1)), HTTPClient: spy,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Retryer: aws.NopRetryer{},
	})
	out, err := api.ListFleets(t.Context(), nil)
	check(t, err)
	if !slices.Equal(out.FleetIds, []string{w.fleet}) || protocol != "HTTP/2.0" {
		t.Errorf("over TLS: %v by %s", out.FleetIds, protocol)
	}
	if at, err := http.ParseTime(date); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("Date is %q, which is not the wall clock's", date)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) Do(r *http.Request) (*http.Response, error) { return f(r) }
