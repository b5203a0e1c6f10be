package scaling_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/scaling"
)

const (
	dayPer    = 4               // game sessions an instance hosts
	dayStart  = 3 * time.Minute // from wanting an instance to its first ready process
	dayTarget = 20.0            // percent
	dayPlot   = "../../docs/img/scaling-day.svg"
)

// location is a location whose instances take a while to start, whose game sessions last a
// while, and whose idle instances go when fewer are desired.
type location struct {
	instances []instance
	refused   int // game sessions that found no slot
}

type instance struct {
	ready time.Time
	ends  []time.Time // of its game sessions
}

// play brings the location to an instant: game sessions end, new ones begin on the fullest
// instance with a slot, as reservations choose it.
func (l *location) play(now time.Time, began int, lasts func() time.Duration) {
	for i := range l.instances {
		l.instances[i].ends = slices.DeleteFunc(l.instances[i].ends, func(end time.Time) bool { return !end.After(now) })
	}
	for range began {
		best := -1
		for i, in := range l.instances {
			if in.ready.After(now) || len(in.ends) == dayPer {
				continue
			}
			if best < 0 || len(in.ends) > len(l.instances[best].ends) {
				best = i
			}
		}
		if best < 0 {
			l.refused++
			continue
		}
		l.instances[best].ends = append(l.instances[best].ends, now.Add(lasts()))
	}
}

// follow starts instances, or ends idle ones, until there are as many as desired.
func (l *location) follow(now time.Time, desired int) {
	for len(l.instances) < desired {
		l.instances = append(l.instances, instance{ready: now.Add(dayStart)})
	}
	for i := len(l.instances) - 1; i >= 0 && len(l.instances) > desired; i-- {
		if len(l.instances[i].ends) == 0 {
			l.instances = slices.Delete(l.instances, i, i+1)
		}
	}
}

func (l *location) sample(now time.Time) scaling.Sample {
	s := scaling.Sample{PerInstance: dayPer}
	for _, in := range l.instances {
		if in.ready.After(now) {
			s.Pending++
			continue
		}
		s.ActiveInstances++
		s.Active += len(in.ends)
		s.Free += dayPer - len(in.ends)
		if len(in.ends) == 0 {
			s.IdleInstances++
		}
	}
	return s
}

// minute is what a plot shows of a minute.
type minute struct{ sessions, slots, desired int }

// A day on a manual clock, through the room and its database: two peaks, and a rush when an
// event begins at eight in the evening. Capacity follows demand within the minutes an
// instance takes to start, is never below what runs, and no game session that runs ends.
// With -update it draws docs/img/scaling-day.svg.
func TestADayOfDemand(t *testing.T) {
	if testing.Short() {
		t.Skip("a day takes some seconds")
	}
	each(t, func(r *rooms) {
		id := r.fleet()
		if _, err := r.PutScalingPolicy(r.t.Context(), targetPolicy(id, "buffer", dayTarget)); err != nil {
			r.t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		here := &location{}
		here.follow(r.clock.Now().Add(-dayStart), 1)
		var day []minute
		wanted := 0
		for m := range 24 * 60 {
			r.samples[arn.Location(region)] = here.sample(r.clock.Now())
			r.minutes(1)
			now := r.clock.Now()
			began := poisson(random, demand(m))
			wanted += began
			here.play(now, began, func() time.Duration { return time.Duration(8+random.ExpFloat64()*12) * time.Minute })
			desired := r.desired(id, region)
			here.follow(now, desired)
			s := here.sample(now)
			if s.Active > desired*dayPer {
				r.t.Fatalf("at minute %d %d game sessions run, and %d instances of %d are desired", m, s.Active, desired, dayPer)
			}
			day = append(day, minute{s.Active, s.Active + s.Free, desired})
		}
		peak, low := slices.MaxFunc(day, bySessions), slices.MinFunc(day[3*60:6*60], bySlots)
		instanceMinutes, busiest := 0, 0
		for _, m := range day {
			instanceMinutes += m.desired
			busiest = max(busiest, m.desired)
		}
		if peak.sessions < 200 || low.slots > peak.sessions/3 {
			r.t.Errorf("the day has no shape: %d game sessions at most, %d slots at least", peak.sessions, low.slots)
		}
		if here.refused*100 > wanted {
			r.t.Errorf("%d of %d game sessions found no slot, more than one in a hundred", here.refused, wanted)
		}
		if fixed := busiest * len(day); instanceMinutes*100 > fixed*70 {
			r.t.Errorf("%d instance minutes, of %d with a fixed capacity: it did not follow the demand", instanceMinutes, fixed)
		}
		if told := r.events(id); len(told) < 20 || !strings.Contains(told[len(told)-1], "policy buffer") {
			r.t.Errorf("decisions were not recorded: %q", told)
		}
		drawn := draw(day, here.refused, wanted, instanceMinutes, busiest*len(day))
		if *update {
			if err := os.WriteFile(dayPlot, drawn, 0o600); err != nil {
				r.t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(dayPlot); err != nil || !bytes.Equal(kept, drawn) {
			r.t.Errorf("%s is another day (%v); go test ./internal/scaling -run Day -update draws it again", dayPlot, err)
		}
	})
}

func bySessions(a, b minute) int { return a.sessions - b.sessions }
func bySlots(a, b minute) int    { return a.slots - b.slots }

// demand is how many game sessions begin in a minute of the day, on average.
func demand(m int) float64 {
	h := float64(m) / 60
	bump := func(at, width, height float64) float64 { return height * math.Exp(-(h-at)*(h-at)/(width*width)) }
	d := 0.6 + bump(13, 2.2, 4) + bump(20.5, 2.5, 10)
	if m >= 20*60 && m < 20*60+20 {
		d += 5
	}
	return d
}

func poisson(random *rand.Rand, mean float64) int {
	n, p := 0, math.Exp(-mean)
	for f := random.Float64(); f > p; f *= random.Float64() {
		n++
	}
	return n
}

// draw is the day as a picture: game sessions, slots that are ready, slots that are desired.
func draw(day []minute, refused, wanted, instanceMinutes, fixed int) []byte {
	const width, height, left, top, bottom = 960, 420, 60, 56, 40
	most := 0
	for _, m := range day {
		most = max(most, m.desired*dayPer, m.slots)
	}
	most = (most/50 + 1) * 50
	x := func(m int) float64 { return left + float64(m)/float64(len(day))*(width-left-40) }
	y := func(v int) float64 { return height - bottom - float64(v)/float64(most)*(height-top-bottom) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img" aria-label="Capacity follows demand over a day">
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%d" y="22" font-size="16" fill="#222">Target tracking over a day: target %.0f %% available, instances of %d game sessions, %.0f minutes to start</text>
<text x="%d" y="42" fill="#555">%d of %d game sessions found no slot at once; %.0f %% of the instance hours of a fleet sized for the peak</text>
`, width, height, left, dayTarget, dayPer, dayStart.Minutes(), left, refused, wanted, 100*float64(instanceMinutes)/float64(fixed))
	for v := 0; v <= most; v += 50 {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e3e3e3"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%d</text>`+"\n", left, width-40, y(v), y(v), left-8, y(v)+4, v)
	}
	for h := 0; h <= 24; h += 3 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%02d:00</text>`+"\n", x(h*60), height-bottom+20, h)
	}
	for i, line := range []struct {
		name, color string
		width       float64
		value       func(m minute) int
	}{
		{"slots desired", "#b9c6d8", 3, func(m minute) int { return m.desired * dayPer }},
		{"slots ready", "#1f6fb2", 1.5, func(m minute) int { return m.slots }},
		{"game sessions", "#c8501e", 1.5, func(m minute) int { return m.sessions }},
	} {
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="%v" points="`, line.color, line.width)
		for m, v := range day {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(m), y(line.value(v)))
		}
		fmt.Fprintf(&b, `"/>`+"\n"+`<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="%v"/><text x="%d" y="%d" fill="#222">%s</text>`+"\n",
			left+20, left+50, top+20+20*i, top+20+20*i, line.color, line.width, left+58, top+24+20*i, line.name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// A policy's metric has the value that hosting.md 2.12 describes.
func TestMetrics(t *testing.T) {
	s := scaling.Sample{
		Pending: 1, ActiveInstances: 4, IdleInstances: 1, Free: 6, Unhealthy: 2, Activating: 3, Active: 9, Players: 40, Slots: 90,
		Activatable: 5, QueueDepth: 7, OldestWait: 90 * time.Second,
	}
	want := map[types.MetricName]float64{
		types.MetricNameActivatingGameSessions: 3, types.MetricNameActiveGameSessions: 9, types.MetricNameActiveInstances: 4,
		types.MetricNameAvailableGameSessions: 6, types.MetricNameAvailablePlayerSessions: 50, types.MetricNameCurrentPlayerSessions: 40,
		types.MetricNameIdleInstances: 1, types.MetricNamePercentAvailableGameSessions: 30, types.MetricNamePercentIdleInstances: 25,
		types.MetricNameQueueDepth: 7, types.MetricNameWaitTime: 90, types.MetricNameConcurrentActivatableGameSessions: 5,
	}
	for _, name := range types.MetricName("").Values() {
		if v, ok := s.Metric(name); !ok || v != want[name] {
			t.Errorf("%s is %v, %v, want %v", name, v, ok, want[name])
		}
	}
}
