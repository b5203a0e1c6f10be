package paginate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/matchyard/matchyard/paginate"
	"github.com/matchyard/matchyard/paginate/internal/bototest"
)

// outcome is one run of a paginator, ours or botocore's, in comparable form.
type outcome struct {
	Pages  [][]string
	Calls  []call
	Resume string // "" for none
	Failed bool
}

func ours(t testing.TB, s *service, o paginate.Options) (outcome, error) {
	t.Helper()
	it := newIter(t, s, o)
	var got outcome
	var failure error
	for page, err := range it.Pages(t.Context()) {
		if err != nil {
			got.Failed, failure = true, err
			break
		}
		ids := []string{}
		for _, p := range page.PlayerSessions {
			ids = append(ids, id(p))
		}
		got.Pages = append(got.Pages, ids)
	}
	got.Calls = s.calls
	if !got.Failed {
		got.Resume, _ = it.ResumeToken()
	}
	return got, failure
}

// boto has botocore page through the same service.
func boto(t testing.TB, b *bototest.Botocore, s *service, o paginate.Options, maxCalls int) (outcome, string) {
	t.Helper()
	run := bototest.Run{
		Operation: "describe_player_sessions", Key: "PlayerSessions",
		Items: []any{}, DefaultLimit: s.defaultLimit, MaxCalls: maxCalls,
	}
	item := func(id string) any { return map[string]any{"PlayerSessionId": id} }
	for _, p := range s.players {
		run.Items = append(run.Items, item(id(p)))
	}
	if s.graph != nil {
		run.Graph = map[string]map[string]any{}
		for token, a := range s.graph {
			page := map[string]any{}
			if a.players != nil {
				items := []any{}
				for _, id := range a.players {
					items = append(items, item(id))
				}
				page["PlayerSessions"] = items
			}
			if a.next != nil {
				page["NextToken"] = *a.next
			}
			run.Graph[token] = page
		}
	}
	if o.MaxItems > 0 {
		run.Config.MaxItems = &o.MaxItems
	}
	if o.PageSize > 0 {
		run.Config.PageSize = new(int(o.PageSize))
	}
	if o.StartingToken != "" {
		run.Config.StartingToken = &o.StartingToken
	}
	a := b.Run(t, run)
	var got outcome
	for _, page := range a.Pages {
		ids := []string{}
		for _, p := range page {
			ids = append(ids, p.(map[string]any)["PlayerSessionId"].(string))
		}
		got.Pages = append(got.Pages, ids)
	}
	for _, c := range a.Calls {
		got.Calls = append(got.Calls, call{value(c.NextToken), value(c.Limit)})
	}
	got.Resume = value(a.Resume)
	got.Failed = a.Error != nil
	return got, value(a.Error)
}

// fresh is the same service with no calls noted.
func (s *service) fresh() *service {
	return &service{players: s.players, defaultLimit: s.defaultLimit, graph: s.graph}
}

func TestBotocoreEveryMaxItemsPageSizeAndLength(t *testing.T) {
	b := bototest.Start(t)
	longest := 9
	if testing.Short() {
		longest = 4
	}
	runs := 0
	for n := range longest + 1 {
		for size := range n + 2 { // 0 is the service's own page size of 3
			for most := range n + 2 { // 0 is all
				// The whole listing in chained runs, whose tokens change hands:
				// each run is made by both, and either's token starts the next.
				var got []string
				token := ""
				for range n + 2 {
					o := paginate.Options{MaxItems: most, PageSize: int32(size), StartingToken: token}
					s := list(n, 3)
					mine, _ := ours(t, s.fresh(), o)
					theirs, _ := boto(t, b, s.fresh(), o, 100)
					runs++
					if !reflect.DeepEqual(mine, theirs) {
						t.Fatalf("%d items, %+v\nours     %+v\nbotocore %+v", n, o, mine, theirs)
					}
					got = append(got, slices.Concat(mine.Pages...)...)
					if token = mine.Resume; token == "" {
						break
					}
				}
				if token != "" || !slices.Equal(got, numbered(n)) {
					t.Fatalf("%d items, PageSize %d, MaxItems %d: chained runs gave %v", n, size, most, got)
				}
			}
		}
	}
	t.Logf("%d runs equal to botocore %s", runs, b.Version)
}

func numbered(n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("p%d", i))
	}
	return ids
}

// Items left by a break are ours alone to resume, botocore has no such token;
// but it must read ours.
func TestBotocoreResumesAfterOurBreak(t *testing.T) {
	b := bototest.Start(t)
	const n = 8
	for size := range n + 2 {
		for at := 1; at <= n; at++ {
			it := newIter(t, list(n, 3), paginate.Options{PageSize: int32(size)})
			first, token, more, err := take(t, it, at)
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				if at != n {
					t.Fatalf("PageSize %d: no token after %d of %d", size, at, n)
				}
				continue
			}
			rest, failed := boto(t, b, list(n, 3), paginate.Options{PageSize: int32(size), StartingToken: token}, 100)
			if got := slices.Concat(first, slices.Concat(rest.Pages...)); rest.Failed || !slices.Equal(got, numbered(n)) {
				t.Errorf("PageSize %d, break after %d: %v %s", size, at, got, failed)
			}
		}
	}
}

// A service that does as it likes: empty pages, pages without the member, empty
// tokens, tokens that come again, tokens it refuses.
func TestBotocoreRandomPages(t *testing.T) {
	b := bototest.Start(t)
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	random := rand.New(rand.NewPCG(2015, 10)) //nolint:gosec // a repeatable test
	kinds := map[string]int{}
	for round := range rounds {
		s, o := randomPages(random)
		mine, err := ours(t, s.fresh(), o)
		theirs, failure := boto(t, b, s.fresh(), o, 40)
		kind := compare(s, mine, theirs, err, failure)
		if kinds[kind]++; strings.HasPrefix(kind, "different") {
			t.Fatalf("round %d: %s\npages    %+v\noptions  %+v\nours     %+v %v\nbotocore %+v %s",
				round, kind, s.graph, o, mine, err, theirs, failure)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("%5d %s", kinds[kind], kind)
	}
	if kinds["equal"] < rounds/4 {
		t.Errorf("only %d of %d rounds compare equal runs", kinds["equal"], rounds)
	}
}

func randomPages(random *rand.Rand) (*service, paginate.Options) {
	s := &service{graph: map[string]answer{}}
	tokens := []string{"", "A", "B", "C", "D", "E"}[:1+random.IntN(6)]
	next := 0
	for i, token := range tokens {
		var a answer
		if random.IntN(8) > 0 { // else the member is missing
			a.players = []string{}
			for range random.IntN(4) {
				a.players = append(a.players, fmt.Sprintf("p%d", next))
				next++
			}
		}
		switch {
		case random.IntN(8) == 0:
			a.next = new(tokens[random.IntN(len(tokens))]) // anywhere, the empty token too
		case i+1 < len(tokens):
			a.next = &tokens[i+1]
		case random.IntN(12) == 0:
			a.next = new("refused")
		}
		s.graph[token] = a
	}
	var o paginate.Options
	if random.IntN(3) > 0 {
		o.MaxItems = 1 + random.IntN(next+2)
	}
	if random.IntN(3) == 0 {
		o.PageSize = 1 + random.Int32N(5)
	}
	if token := tokens[random.IntN(len(tokens))]; token != "" && random.IntN(3) == 0 {
		start := paginate.Token{Next: &token}
		if page := s.graph[token]; random.IntN(2) == 0 {
			start.Skip = random.IntN(len(page.players) + 1)
		}
		o.StartingToken = start.String()
	}
	return s, o
}

// compare says "equal", names the documented divergence, or says "different".
func compare(s *service, mine, theirs outcome, err error, failure string) string {
	if reflect.DeepEqual(mine, theirs) {
		switch {
		case !mine.Failed:
			return "equal"
		case errors.Is(err, paginate.ErrRepeatedToken) == strings.Contains(failure, "received twice"):
			return "equal, both failed"
		}
		return "different errors"
	}
	if errors.Is(err, paginate.ErrRepeatedToken) {
		// We stop at the first token seen before; botocore at two equal ones in
		// a row that came from the service, or never.
		n := len(mine.Pages)
		sent := map[string]bool{}
		for _, c := range mine.Calls {
			if sent[c.token] && c.token != "" {
				return "different: we sent a token twice"
			}
			sent[c.token] = true
		}
		if last := s.graph[mine.Calls[len(mine.Calls)-1].token].next; !sent[*last] {
			return "different: the token was not seen before"
		}
		if n > len(theirs.Pages) || !reflect.DeepEqual(mine.Pages, theirs.Pages[:n]) {
			return "different pages before the repeated token"
		}
		return "cycle found by us, later or never by botocore"
	}
	return "different"
}

func TestBotocoreReadsTokensAlike(t *testing.T) {
	b := bototest.Start(t)
	random := rand.New(rand.NewPCG(5, 1)) //nolint:gosec // a repeatable test
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	kinds := map[string]int{}
	for range rounds {
		s := randomToken(random)
		mine, err := paginate.Parse(s)
		theirs := b.Parse(t, s)
		switch {
		case theirs.Error != nil && strings.HasPrefix(*theirs.Error, "ValueError: Bad starting token"):
			if err == nil {
				t.Errorf("%q: ours %v, botocore %s", s, show(mine), *theirs.Error)
			}
			kinds["both refuse"]++
		case theirs.Error != nil: // botocore crashed on it
			if err != nil || value(mine.Next) != s {
				t.Errorf("%q: ours %v %v, botocore crashed: %s", s, show(mine), err, *theirs.Error)
			}
			kinds["botocore crashes, we take it raw"]++
		case err != nil: // only what botocore would hand on as nonsense
			if !nonsense(theirs) {
				t.Errorf("%q: ours %v, botocore %v %s", s, err, theirs.Token, theirs.Skip)
			}
			kinds["nonsense refused by us"]++
		default:
			want := theirs.Token["NextToken"]
			if want == "None" {
				want = nil // botocore drops it when it makes the request
			}
			if show(mine)[0] != want || strconv.Itoa(mine.Skip) != string(theirs.Skip) {
				t.Errorf("%q: ours %v, botocore %v %s", s, show(mine), theirs.Token, theirs.Skip)
			}
			kinds["equal"]++
		}
	}
	t.Log(kinds)
	if kinds["equal"] < rounds/4 || kinds["both refuse"] == 0 || kinds["nonsense refused by us"] == 0 {
		t.Errorf("one-sided tokens: %v", kinds)
	}
}

func nonsense(p bototest.Parsed) bool {
	for key := range p.Token {
		if key != "NextToken" {
			return true
		}
	}
	if next, ok := p.Token["NextToken"]; ok && next != nil {
		if text, isText := next.(string); !isText || text == "" {
			return true
		}
	}
	skip, err := strconv.Atoi(string(p.Skip))
	return err != nil || skip < 0
}

// randomToken is text near the forms a starting token has.
func randomToken(random *rand.Rand) string {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	switch random.IntN(4) {
	case 0: // base64, now and then damaged
		object := pick(
			`{"NextToken": "a"}`, `{"NextToken":null,"boto_truncate_amount":3}`, `{}`, `[1]`, `123`, `null`, `"x"`, `true`,
			`{"NextToken": "a", "boto_truncate_amount": 2, "boto_truncate_amount": 4}`, ` {"NextToken" : "\u2603\ud83d\ude00é" } `,
			`{"NextToken": "a", "Other": 1}`, `{"NextToken": 7}`, `{"NextToken": ""}`, `{"boto_truncate_amount": -2}`,
			`{"boto_truncate_amount": 1e2}`, "{\"NextToken\": \"a\nb\"}", "{\"NextToken\": \"\xff\"}", `{"NextToken": "None"}`,
			`{"NextToken": "a"} x`, `{"NextToken": "a",}`, `{'NextToken': 'a'}`, "\ufeff{}", `{"NextToken": "\x"}`,
		)
		text := []byte(b64(object))
		for random.IntN(2) == 0 {
			at := random.IntN(len(text) + 1)
			text = slices.Insert(text, at, "=_- \n.AQ"[random.IntN(8)])
		}
		if random.IntN(4) == 0 {
			text = text[:random.IntN(len(text)+1)]
		}
		return string(text)
	case 1: // the old form
		return pick("abc", "None", "", "a_b", "_") + "___" + pick("0", "7", "-1", "+3", " 4 ", "1_0", "_1", "x", "", "1.0", "0x1", "7___8")
	case 2: // raw
		return pick("None", "gls1abc", "/w==", "AQICAHhEXAMPLE+/==", "a b", "é", "___", "__", "____", "_____", "______")
	default:
		text := make([]byte, random.IntN(24))
		for i := range text {
			text[i] = "ABab01+/=_- {}\":,"[random.IntN(17)]
		}
		return string(text)
	}
}

func TestBotocoreWritesTokensAlike(t *testing.T) {
	b := bototest.Start(t)
	random := rand.New(rand.NewPCG(6, 2)) //nolint:gosec // a repeatable test
	alphabet := []rune("ab\"\\/\x00\x1f\x7f\u0080é☃\u2028\uffff😀\t\n\r\f\b<>&'")
	for range 500 {
		var text []rune
		for range random.IntN(12) {
			text = append(text, alphabet[random.IntN(len(alphabet))])
		}
		mine := paginate.Token{Next: new(string(text)), Skip: random.IntN(1 << 40)}
		next, err := json.Marshal(string(text))
		if err != nil {
			t.Fatal(err)
		}
		object := fmt.Sprintf(`{"NextToken": %s, "boto_truncate_amount": %d}`, next, mine.Skip)
		if theirs := b.Encode(t, json.RawMessage(object)); mine.String() != theirs {
			t.Fatalf("%v: ours %s, botocore %s", show(mine), mine, theirs)
		}
	}
}

func TestBotocorePagesTheSameOperations(t *testing.T) {
	theirs := bototest.Start(t).Paginators(t)
	if len(theirs) != 26 {
		t.Errorf("botocore has %d paginators", len(theirs))
	}
	mine := everyOp()
	for name, p := range theirs {
		want := map[string]any{
			"input_token": "NextToken", "output_token": "NextToken", "limit_key": "Limit", "result_key": mine[name].key,
		}
		if !reflect.DeepEqual(p, want) {
			t.Errorf("%s: botocore %v, ours %v", name, p, want)
		}
		delete(mine, name)
	}
	if got := slices.Collect(maps.Keys(mine)); !slices.Equal(got, []string{"DescribeFleetLocationAttributes"}) {
		t.Errorf("only we page %v", got)
	}
}

// The divergences that the package promises, each beside what botocore does.
func TestBotocoreDivergences(t *testing.T) {
	b := bototest.Start(t)

	t.Run("resume with a smaller page", func(t *testing.T) {
		// Two items of a page of three were given; the next run asks for pages of one.
		token := paginate.Token{Next: new("t3"), Skip: 2}.String()
		o := paginate.Options{PageSize: 1, StartingToken: token}
		mine, err := ours(t, list(7, 3), o)
		if got := slices.Concat(mine.Pages...); err != nil || !slices.Equal(got, []string{"p5", "p6"}) {
			t.Errorf("ours: %v, %v", got, err)
		}
		theirs, _ := boto(t, b, list(7, 3), o, 100)
		if got := slices.Concat(theirs.Pages...); !slices.Equal(got, []string{"p4", "p5", "p6"}) {
			t.Errorf("botocore no longer gives p4 again: %v", got)
		}
	})

	t.Run("a second run", func(t *testing.T) {
		it := newIter(t, list(7, 3), paginate.Options{})
		for range 2 {
			if got, _, _, err := take(t, it, -1); err != nil || !slices.Equal(got, numbered(7)) {
				t.Errorf("ours: %v, %v", got, err)
			}
		}
	})

	t.Run("a cycle of two", func(t *testing.T) {
		s := &service{graph: map[string]answer{
			"":  {[]string{"p0"}, new("A")},
			"A": {[]string{"p1"}, new("B")},
			"B": {[]string{"p2"}, new("A")},
		}}
		mine, err := ours(t, s.fresh(), paginate.Options{})
		if !errors.Is(err, paginate.ErrRepeatedToken) || len(mine.Calls) != 3 {
			t.Errorf("ours: %v after %d calls", err, len(mine.Calls))
		}
		if theirs, failure := boto(t, b, s.fresh(), paginate.Options{}, 50); !strings.HasPrefix(failure, "TooManyCalls") {
			t.Errorf("botocore now ends: %+v %s", theirs, failure)
		}
	})

	t.Run("the first page echoes the starting token", func(t *testing.T) {
		s := &service{graph: map[string]answer{"A": {[]string{"p0"}, new("A")}}}
		o := paginate.Options{StartingToken: "A"}
		mine, err := ours(t, s.fresh(), o)
		if !errors.Is(err, paginate.ErrRepeatedToken) || len(mine.Pages) != 1 {
			t.Errorf("ours: %v after %d pages", err, len(mine.Pages))
		}
		if theirs, failure := boto(t, b, s.fresh(), o, 50); len(theirs.Pages) != 2 || !strings.Contains(failure, "received twice") {
			t.Errorf("botocore: %+v %s", theirs, failure)
		}
	})

	t.Run("MaxItems of 0 and less", func(t *testing.T) {
		if mine, err := ours(t, list(7, 3), paginate.Options{MaxItems: 0}); err != nil || len(mine.Pages) != 3 {
			t.Errorf("ours: %+v, %v", mine, err)
		}
		if _, err := paginate.New(paginate.DescribePlayerSessions, list(7, 3), nil, paginate.Options{MaxItems: -1}); err == nil {
			t.Error("ours: MaxItems of -1 was taken")
		}
		a := b.Run(t, bototest.Run{
			Operation: "describe_player_sessions", Key: "PlayerSessions", Items: []any{"p0", "p1", "p2"}, DefaultLimit: 3, MaxCalls: 9,
			Config: bototest.Config{MaxItems: new(-1)},
		})
		if a.Error != nil || len(a.Pages) != 1 || len(a.Pages[0]) != 2 {
			t.Errorf("botocore no longer slices from the end: %+v", a)
		}
	})

	t.Run("a NextToken in the input", func(t *testing.T) {
		// botocore forgets it when it cuts the first page.
		a := b.Run(t, bototest.Run{
			Operation: "describe_player_sessions", Key: "PlayerSessions", Items: []any{"p0", "p1", "p2", "p3"}, DefaultLimit: 2, MaxCalls: 9,
			Params: map[string]any{"NextToken": "t2"}, Config: bototest.Config{MaxItems: new(1)},
		})
		if want := (paginate.Token{Skip: 1}).String(); value(a.Resume) != want {
			t.Errorf("botocore: %s, want %s", value(a.Resume), want)
		}
		it, err := paginate.New(paginate.DescribePlayerSessions, list(4, 2), inputAt("t2"), paginate.Options{MaxItems: 1})
		if err != nil {
			t.Fatal(err)
		}
		ids, token, _, err := take(t, it, -1)
		if want := (paginate.Token{Next: new("t2"), Skip: 1}).String(); err != nil || token != want || !slices.Equal(ids, []string{"p2"}) {
			t.Errorf("ours: %v %s %v", ids, token, err)
		}
	})
}
