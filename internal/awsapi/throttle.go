package awsapi

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/matchyard/matchyard/internal/apierr"
)

// Rate is a token bucket: so many requests at once, and so many a second after that. The
// zero Rate limits nothing.
type Rate struct{ Burst, PerSecond float64 }

// Throttle limits how fast one access key calls. What is too fast is a ThrottlingException,
// which every SDK repeats later by itself (wire-protocol.md 3.4). Each node counts for
// itself. Fill it before the first request.
type Throttle struct {
	// PerKey limits all requests of a key together.
	PerKey Rate
	// PerOperation limits a key's requests of one operation; nil limits none. See AWSRate.
	PerOperation func(operation string) Rate
	Now          func() time.Time // nil: time.Now

	mu      sync.Mutex
	buckets map[bucketName]*bucket
	swept   time.Time
}

type bucketName struct{ key, operation string }

type bucket struct {
	tokens float64
	at     time.Time
	rate   Rate
}

// keepBuckets is how long a bucket nobody takes from is kept; it is full by then.
const keepBuckets = 10 * time.Minute

// Take counts a request, or refuses it.
func (t *Throttle) Take(key, operation string) error {
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	at := now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(at)
	if t.PerOperation != nil && !t.take(bucketName{key, operation}, t.PerOperation(operation), at) || !t.take(bucketName{key: key}, t.PerKey, at) {
		return &apierr.Error{Code: "ThrottlingException", Message: "Rate exceeded", Status: http.StatusBadRequest}
	}
	return nil
}

func (t *Throttle) take(name bucketName, rate Rate, at time.Time) bool {
	if rate == (Rate{}) {
		return true
	}
	if t.buckets == nil {
		t.buckets = map[bucketName]*bucket{}
	}
	b := t.buckets[name]
	if b == nil {
		b = &bucket{tokens: rate.Burst, at: at, rate: rate}
		t.buckets[name] = b
	}
	b.tokens = min(rate.Burst, b.tokens+max(at.Sub(b.at).Seconds(), 0)*rate.PerSecond)
	b.at = at
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// sweep forgets buckets that are full again.
func (t *Throttle) sweep(at time.Time) {
	if at.Sub(t.swept) < keepBuckets {
		return
	}
	t.swept = at
	for name, b := range t.buckets {
		if at.Sub(b.at) >= keepBuckets {
			delete(t.buckets, name)
		}
	}
}

// AWSRate is what AWS publishes for an operation, an account and a region (hosting.md 8.1).
// GetPlayerConnectionDetails is not published and has none here.
func AWSRate(operation string) Rate {
	if r, ok := awsRates[operation]; ok {
		return r
	}
	if strings.Contains(operation, "VpcPeering") {
		return Rate{1, 0.1}
	}
	for _, verb := range []string{"Describe", "List", "Get"} {
		if strings.HasPrefix(operation, verb) {
			return Rate{30, 30}
		}
	}
	return Rate{20, 20}
}

// AWSTotal is what AWS publishes for all operations together.
var AWSTotal = Rate{500, 500}

var awsRates = func() map[string]Rate {
	rates := map[string]Rate{}
	for _, group := range []struct {
		rate       Rate
		operations string
	}{
		{Rate{30, 30}, "ResolveAlias SearchGameSessions TagResource UntagResource ListTagsForResource ValidateMatchmakingRuleSet"},
		{Rate{4, 1}, "CreateFleet CreateContainerFleet GetComputeAccess GetInstanceAccess GetGameSessionLogUrl RequestUploadCredentials"},
		{Rate{10, 5}, "GetComputeAuthToken"},
		{Rate{40, 20}, "ClaimGameServer RegisterGameServer DeregisterGameServer UpdateGameServer DescribeGameServer"},
		{Rate{1, 0.1}, "SuspendGameServerGroup ResumeGameServerGroup"},
		{Rate{50, 50}, "CreateGameSession"},
		{Rate{75, 75}, "StartGameSessionPlacement DescribeGameSessionPlacement"},
		{Rate{20, 20}, "DescribeGameSessions"},
		{Rate{200, 200}, "CreatePlayerSession CreatePlayerSessions DescribePlayerSessions DescribeMatchmaking"},
		{Rate{100, 100}, "StartMatchmaking StopMatchmaking AcceptMatch DescribeContainerGroupPortMappings"},
		{Rate{70, 70}, "StartMatchBackfill"},
		{Rate{40, 30}, "DescribeEC2InstanceLimits"},
		{Rate{}, "GetPlayerConnectionDetails"},
	} {
		for operation := range strings.FieldsSeq(group.operations) {
			rates[operation] = group.rate
		}
	}
	return rates
}()
