package sim

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	examples "github.com/matchyard/matchyard/examples/flexmatch"
)

// TestStreamRoundTrip: what is written is read back the same.
func TestStreamRoundTrip(t *testing.T) {
	for _, name := range examples.Names() {
		_, profile := standard(t, name)
		s := generate(t, profile, 5, 0.05)
		var text bytes.Buffer
		n, err := s.WriteTo(&text)
		if err != nil || n != int64(text.Len()) {
			t.Fatalf("%d of %d bytes: %v", n, text.Len(), err)
		}
		back, err := ReadStream(&text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, s) {
			t.Errorf("%s: the stream changed on the way", name)
		}
	}
}

func TestStreamErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "the stream has no tickets",
		"\n{\"ticketId\":\"a\",\"at\":-1}":     "line 2: ticket a: at is -1",
		`{"ticketId":"a","at":0,"players":[]}`: "line 1: ticket a: 0 players, should be from 1 to 10",
		`{"ticketId":"a","at":0,"players":[{"playerId":""}]}`: "line 1: ticket a: a player has no playerId",
		`{"at":0}`: "line 1: a ticket has no ticketId",
		`{"stream":{"matchmaker":{"passSeconds":-1}}}`:     "line 1: matchmaker: passSeconds is -1",
		`{"stream":{"matchmaker":{"passSeconds":0.0001}}}`: "at least 0.01",
		"{\"ticketId\":\"a\",\"at\":0,\"players\":[{\"playerId\":\"p\"}]}\n{\"ticketId\":\"a\",\"at\":0,\"players\":[{\"playerId\":\"p\"}]}": "line 2: ticket a is there twice",
		`{"ticketId":"a","at":0,"players":[{"playerId":"p","attributes":{"x":{"N":1,"S":"a"}}}]}`:                                            "attribute x should have one of",
		"nonsense": "line 1: ",
	} {
		_, err := ReadStream(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestTicketsInAnyOrder are played by their start.
func TestTicketsInAnyOrder(t *testing.T) {
	s, err := ReadStream(strings.NewReader(ticket("late", 9, 1, "") + "\n\n" + ticket("early", 1, 1, "")))
	if err != nil {
		t.Fatal(err)
	}
	if s.Tickets[0].ID != "early" || s.Length.Seconds() != 129 {
		t.Errorf("first %s, length %v; want early, and 9 s and the time-out of 120 s", s.Tickets[0].ID, s.Length)
	}
}

func TestProfileErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "hours is 0",
		`{"hours":1,"arrivals":{"ticketsPerHour":0}}`:                                                             "arrivals: ticketsPerHour is 0",
		`{"hours":1,"arrivals":{"ticketsPerHour":10,"day":[1]}}`:                                                  "arrivals: day has 1 factors",
		`{"hours":100,"arrivals":{"ticketsPerHour":4000000}}`:                                                     "should be at most 5000000",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"partySizes":{"11":1}}`:                                      `partySizes: "11"`,
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"partySizes":{"1":0}}`:                                       "no share is above 0",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"attributes":{"a":{}}}`:                                      "attributes.a: 0 of number, choice, list and map",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"attributes":{"a":{"number":{"low":2,"high":1}}}}`:           "low and high",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"attributes":{"a":{"number":{"deviation":-2}}}}`:             "deviation is -2",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"attributes":{"a":{"list":{"of":{"x":1},"count":{"2":1}}}}}`: `"2" should be a number from 1 to 1`,
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"regions":[{"share":1}]}`:                                    "regions[0]: name",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"answers":{"accept":2}}`:                                     "answers.accept is 2",
		`{"hours":1,"arrivals":{"ticketsPerHour":10},"requestTimeout":2}`:                                         `unknown field "requestTimeout"`,
		`{"hours":1,"arrivals":{"ticketsPerHour":10}} {}`:                                                         "there is more after the profile",
	} {
		_, err := ParseProfile([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestProfileIsFollowed: arrivals follow the day, and what is drawn has the distributions
// the profile asks for.
func TestProfileIsFollowed(t *testing.T) {
	p, err := ParseProfile([]byte(`{"name":"p","hours":24,"arrivals":{"ticketsPerHour":1000,
	 "day":[1,1,1,1,1,1,1,1,1,1,1,1,2,2,2,2,2,2,2,2,2,2,2,2]},
	 "partySizes":{"1":3,"4":1},
	 "regions":[{"name":"here","share":9,"latency":{"x":{"mean":50}}},{"name":"there","share":1,"latency":{"x":{"mean":90}}}],
	 "attributes":{"skill":{"together":1,"number":{"mixture":[{"share":1,"mean":100,"deviation":10},{"share":1,"mean":500,"deviation":10}]}},
	  "even":{"number":{"low":0,"high":10}},
	  "mode":{"choice":{"a":0.25,"b":0.75}},
	  "likes":{"map":{"k":{"mean":7}}},
	  "roles":{"list":{"of":{"x":1,"y":1,"z":1},"count":{"2":1}}}},
	 "leaving":{"share":0.5,"meanSeconds":60},
	 "answers":{"accept":0.8,"silent":1},"matchmaker":{"acceptanceRequired":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := generate(t, p, 2, 0)
	n := float64(len(s.Tickets))
	var late, four, here, low, b, leave, refuse, gone, even float64
	for _, ticket := range s.Tickets {
		count := func(of *float64, yes bool, by float64) {
			if yes {
				*of += by
			}
		}
		count(&late, ticket.At > 12.5*3600, 1)
		count(&four, len(ticket.Players) == 4, 1)
		count(&here, ticket.Region == "here" && ticket.Players[0].LatencyInMs["x"] == 50, 1)
		first := ticket.Players[0].Attributes
		count(&low, *first["skill"].N < 300, 1)
		count(&b, *first["mode"].S == "b", 1)
		count(&leave, ticket.LeaveAfter > 0, 1)
		gone += ticket.LeaveAfter
		count(&refuse, ticket.Answer.Refuses == 1 && ticket.Answer.Silent, 1)
		even += *first["even"].N
		for _, player := range ticket.Players {
			if *player.Attributes["skill"].N != *first["skill"].N {
				t.Fatalf("%s: players who are together differ", ticket.ID)
			}
			if l := player.Attributes["roles"].SL; len(l) != 2 || l[0] == l[1] || player.Attributes["likes"].SDM["k"] != 7 {
				t.Fatalf("%s: roles %v, likes %v", ticket.ID, l, player.Attributes["likes"].SDM)
			}
		}
	}
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		// From noon on twice as many; between eleven and noon, and before midnight, the rate
		// changes in a straight line.
		{"tickets", n / 36_000, 1},
		{"after half past twelve", late / n, (11.5*2 - 0.5) / 36},
		{"parties of four", four / n, 0.25},
		{"here", here / n, 0.9},
		{"of low skill", low / n, 0.5},
		{"mode b", b / n, 0.75},
		{"who leave", leave / n, 0.5},
		{"when they leave", gone / leave / 60, 1},
		{"who refuse the first", refuse / n, 0.2},
		{"even", even / n / 5, 1},
	} {
		if math.Abs(c.got-c.want) > 0.02 {
			t.Errorf("%s: %.3f, want %.3f", c.what, c.got, c.want)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add(`{"stream":{"name":"x","lengthSeconds":9,"matchmaker":{"passSeconds":2}}}` + "\n" + ticket("a", 1, 2, `,"answer":{"refuses":1}`))
	f.Add(ticket("a", 1, 2, "") + "\n" + ticket("b", 0.0001, 2e300, `,"leaveAfter":1`))
	f.Add(`{"ticketId":"s","at":0,"backfill":true,"players":[{"playerId":"x","team":"a","latencyInMs":{"l":4},"attributes":{"l":{"SL":[]},"m":{"SDM":{}}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadStream(strings.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := s.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		back, err := ReadStream(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, &out)
		}
		var again bytes.Buffer
		if _, err := back.WriteTo(&again); err != nil || again.String() != out.String() {
			t.Errorf("%v; the stream changed:\n%s\n%s", err, &out, &again)
		}
	})
}

func FuzzProfile(f *testing.F) {
	for _, name := range examples.Names() {
		_, profile, err := examples.Stream(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(profile)
	}
	f.Add([]byte(`{"hours":1,"arrivals":{"ticketsPerHour":10},"attributes":{"a":{"map":{"k":{"low":0,"high":1}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProfile(text)
		if err != nil {
			return
		}
		p.Arrivals.TicketsPerHour = min(p.Arrivals.TicketsPerHour, 2000)
		s, err := p.Generate(1, min(p.Hours, 0.01))
		if err != nil {
			return // a quiet hour
		}
		var out bytes.Buffer
		if _, err := s.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadStream(&out); err != nil {
			t.Errorf("a drawn stream is refused: %v", err)
		}
	})
}
