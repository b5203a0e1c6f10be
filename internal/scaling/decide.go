package scaling

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"
)

// Sample is what one location of a fleet looked like at one instant.
type Sample struct {
	Pending, ActiveInstances, IdleInstances int // instances; the idle ones are among the active
	Free                                    int // processes that are ready and without a game session
	Unhealthy                               int // processes that report bad health, or none
	Activating, Active                      int // game sessions
	Ending                                  int // processes that still have a game session which is not active any more
	Players, Slots                          int // player sessions and slots of the active game sessions
	Activatable                             int // game sessions that may be activated at once
	QueueDepth                              int // placements that wait and for which this is the best place
	OldestWait                              time.Duration
	PerInstance                             int // game sessions an instance can host at a time
}

// Metric is the value of a metric that policies may name (hosting.md 2.12). Percentages are
// 0 to 100; of nothing at all, 100 % is available. It is false for an unknown name.
func (s Sample) Metric(name types.MetricName) (float64, bool) {
	switch name {
	case types.MetricNameActivatingGameSessions:
		return float64(s.Activating), true
	case types.MetricNameActiveGameSessions:
		return float64(s.Active), true
	case types.MetricNameActiveInstances:
		return float64(s.ActiveInstances), true
	case types.MetricNameAvailableGameSessions:
		return float64(s.Free), true
	case types.MetricNameAvailablePlayerSessions:
		return float64(s.Slots - s.Players), true
	case types.MetricNameCurrentPlayerSessions:
		return float64(s.Players), true
	case types.MetricNameIdleInstances:
		return float64(s.IdleInstances), true
	case types.MetricNamePercentAvailableGameSessions:
		return percent(s.Free, s.Processes()), true
	case types.MetricNamePercentIdleInstances:
		return percent(s.IdleInstances, s.ActiveInstances), true
	case types.MetricNameQueueDepth:
		return float64(s.QueueDepth), true
	case types.MetricNameWaitTime:
		return s.OldestWait.Seconds(), true
	case types.MetricNameConcurrentActivatableGameSessions:
		return float64(s.Activatable), true
	default:
		return 0, false
	}
}

// Processes are all server processes, whatever they do.
func (s Sample) Processes() int { return s.Free + s.Unhealthy + s.Activating + s.Active + s.Ending }

func percent(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return 100 * float64(part) / float64(whole)
}

// Policy is a scaling policy: by a rule, or, with Target, by the share of game sessions
// that shall be available.
type Policy struct {
	Name    string
	Metric  types.MetricName
	Target  *float64 // percent, of a target policy; the rest is of a rule
	Compare types.ComparisonOperatorType
	Limit   float64
	Minutes int // for how many minutes in a row
	Adjust  types.ScalingAdjustmentType
	By      int
}

// Memory is what a policy keeps of a location from one minute to the next. The zero value
// is that of a new policy.
type Memory struct {
	Breaches int // minutes in a row on the wrong side of a rule's limit
	// Acting is set from a rule's action until all instances stand; then Rest begins.
	Acting time.Time
	Rest   time.Time // until when the rule does nothing
	// Surplus is since when a target policy had instances to spare, and Peak the most it would
	// have needed since.
	Surplus time.Time
	Peak    int
}

// Settings are the waiting times of decisions; a zero field means its default.
type Settings struct {
	Cooldown time.Duration // of a rule after its action is complete; default 10 minutes
	GiveUp   time.Duration // after which an action counts as complete though it is not; default 30 minutes
	Shrink   time.Duration // how long a target policy's surplus must last; default 15 minutes
}

func (s Settings) orDefaults() Settings {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&s.Cooldown, 10 * time.Minute}, {&s.GiveUp, 30 * time.Minute}, {&s.Shrink, 15 * time.Minute}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return s
}

// Location is what a decision is about.
type Location struct {
	Desired, Min, Max int
	Sample            Sample
}

// settled tells whether as many instances stand as are wanted.
func (l Location) settled() bool {
	return l.Sample.Pending == 0 && l.Sample.ActiveInstances == l.Desired
}

// Decision is how many instances a location shall have, and why. Policy is "" and Desired
// as it was when no policy wants a change.
type Decision struct {
	Desired int
	Policy  string
	Why     string
}

// Decide looks at one location at one minute. It changes the memories, which are one a
// policy in the order of the policies. When several policies want a change, the one with
// the largest capacity wins: too many instances cost money, too few cost players.
func Decide(now time.Time, l Location, policies []Policy, memories []Memory, s Settings) Decision {
	s = s.orDefaults()
	best, found := Decision{Desired: l.Desired}, false
	for i, p := range policies {
		d, acts := p.look(now, l, &memories[i], s)
		if acts && (!found || d.Desired > best.Desired) {
			best, found = d, true
		}
	}
	if !found {
		return Decision{Desired: l.Desired}
	}
	// A rule has acted when its capacity is the one that is taken, or already was.
	for i, p := range policies {
		if p.Target == nil && p.Name == best.Policy && best.Desired != l.Desired {
			memories[i].Acting, memories[i].Breaches = now, 0
		}
	}
	if best.Desired == l.Desired {
		return Decision{Desired: l.Desired}
	}
	return best
}

// look is what the policy wants, if it wants anything.
func (p Policy) look(now time.Time, l Location, m *Memory, s Settings) (d Decision, acts bool) {
	if p.Target != nil {
		return p.target(now, l, m, s), true
	}
	return p.rule(now, l, m, s)
}

// rule counts the minutes on the wrong side of the limit, and acts when there are enough.
// While it rests it goes on counting, so that it can act as soon as the rest is over.
func (p Policy) rule(now time.Time, l Location, m *Memory, s Settings) (Decision, bool) {
	if !m.Acting.IsZero() && (l.settled() || now.Sub(m.Acting) >= s.GiveUp) {
		m.Acting, m.Rest = time.Time{}, now.Add(s.Cooldown)
	}
	value, _ := l.Sample.Metric(p.Metric)
	if !p.breached(value) {
		m.Breaches = 0
		return Decision{}, false
	}
	m.Breaches++
	if m.Breaches < p.Minutes || !m.Acting.IsZero() || now.Before(m.Rest) {
		return Decision{}, false
	}
	to := clamp(p.adjusted(l.Desired), l)
	return Decision{to, p.Name, fmt.Sprintf("policy %s: %s is %s, %s %s for %d min; %s %d: %d to %d instances",
		p.Name, p.Metric, number(value), words(p.Compare), number(p.Limit), m.Breaches, p.Adjust, p.By, l.Desired, to)}, true
}

func (p Policy) breached(v float64) bool {
	switch p.Compare {
	case types.ComparisonOperatorTypeGreaterThanThreshold:
		return v > p.Limit
	case types.ComparisonOperatorTypeGreaterThanOrEqualToThreshold:
		return v >= p.Limit
	case types.ComparisonOperatorTypeLessThanThreshold:
		return v < p.Limit
	case types.ComparisonOperatorTypeLessThanOrEqualToThreshold:
		return v <= p.Limit
	}
	return false
}

// adjusted is the capacity a rule wants. Percentages are rounded away from zero, so that a
// small fleet moves too (hosting.md 2.12).
func (p Policy) adjusted(desired int) int {
	switch p.Adjust {
	case types.ScalingAdjustmentTypeExactCapacity:
		return p.By
	case types.ScalingAdjustmentTypePercentChangeInCapacity:
		change := float64(desired) * float64(p.By) / 100
		return desired + int(math.Copysign(math.Ceil(math.Abs(change)), change))
	default:
		return desired + p.By
	}
}

// target keeps a share of the game sessions that could run available. It adds instances at
// once, and takes idle ones away when there were enough to spare for a while, down to the
// most that were needed in that while.
func (p Policy) target(now time.Time, l Location, m *Memory, s Settings) Decision {
	used, per := l.Sample.Active+l.Sample.Activating, max(l.Sample.PerInstance, 1)
	slots := float64(used) / (1 - *p.Target/100)
	if *p.Target > 0 {
		slots = max(slots, float64(used+1))
	}
	need := clamp(int(math.Ceil(slots/float64(per)-1e-9)), l)
	why := func(to int, how string) string {
		value, _ := l.Sample.Metric(p.Metric)
		return fmt.Sprintf("policy %s: %d of %d slots used, %s is %s for a target of %s; %s: %d to %d instances",
			p.Name, used, l.Sample.ActiveInstances*per, p.Metric, number(value), number(*p.Target), how, l.Desired, to)
	}
	if need >= l.Desired {
		m.Surplus, m.Peak = time.Time{}, 0
		return Decision{need, p.Name, why(need, "needed now")}
	}
	if m.Surplus.IsZero() {
		m.Surplus, m.Peak = now, need
	}
	m.Peak = max(m.Peak, need)
	spare := max(m.Peak, l.Desired-l.Sample.IdleInstances-l.Sample.Pending)
	if now.Sub(m.Surplus) < s.Shrink || spare >= l.Desired {
		return Decision{l.Desired, p.Name, ""} // holds against rules that would shrink further
	}
	since := m.Surplus
	m.Surplus, m.Peak = time.Time{}, 0
	return Decision{spare, p.Name, why(spare, fmt.Sprintf("%d were enough for %s, idle ones go", spare, now.Sub(since)))}
}

func clamp(n int, l Location) int { return min(max(n, l.Min), l.Max) }

// number prints without needless digits.
func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

var comparisons = map[types.ComparisonOperatorType]string{
	types.ComparisonOperatorTypeGreaterThanThreshold:          ">",
	types.ComparisonOperatorTypeGreaterThanOrEqualToThreshold: ">=",
	types.ComparisonOperatorTypeLessThanThreshold:             "<",
	types.ComparisonOperatorTypeLessThanOrEqualToThreshold:    "<=",
}

func words(c types.ComparisonOperatorType) string { return comparisons[c] }
