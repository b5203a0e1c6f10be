package fleet

import (
	"regexp"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/store"
)

// AllTx are the fleets there are, oldest first, up to a number of them.
func (s *Service) AllTx(tx *store.Tx, most int) ([]Fleet, error) {
	list, _, err := pageTx(tx, 0, most, "")
	return list, err
}

// News is an event of a fleet.
type News struct {
	Fleet   arn.FleetID
	At      int64 // epoch milliseconds
	Code    types.EventCode
	Message string
	Repeats int64
}

// NewsTx are the latest events of all fleets since an instant (epoch milliseconds), newest
// first.
func (s *Service) NewsTx(tx *store.Tx, since int64, most int) (list []News, err error) {
	rows, err := tx.Query(`SELECT f.key, f.tail, e.at, e.code, e.message, e.repeats FROM fleet_event e JOIN fleet f ON f.key = e.fleet
		WHERE e.at >= $1 ORDER BY e.at DESC, e.key DESC LIMIT $2`, since, int64(most))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n News
		var key store.Key
		var tail int64
		if err := rows.Scan(&key, &tail, &n.At, &n.Code, &n.Message, &n.Repeats); err != nil {
			return nil, err
		}
		n.Fleet = mintID(key, tail)
		list = append(list, n)
	}
	return list, rows.Err()
}

// Scaling is a change of a location's capacity settings.
type Scaling struct {
	At       int64 // epoch milliseconds
	Location arn.Location
	From, To int    // desired instances
	Min, Max int    // after it
	Why      string // a policy with its numbers, or who else did it
}

// ScalingsTx are the changes of a fleet's capacity since an instant (epoch milliseconds),
// newest first, up to most.
func (s *Service) ScalingsTx(tx *store.Tx, f Fleet, since int64, most int) (list []Scaling, err error) {
	rows, err := tx.Query(`SELECT at, message FROM fleet_event WHERE fleet = $1 AND at >= $2 AND code = $3 ORDER BY at DESC, key DESC LIMIT $4`,
		f.Key, since, string(types.EventCodeFleetScalingEvent), int64(most))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var message string
		if err := rows.Scan(&at, &message); err != nil {
			return nil, err
		}
		if l, ok := readScaling(message); ok {
			l.At = at
			list = append(list, l)
		}
	}
	return list, rows.Err()
}

// scalingMessage is what setCapacityTx writes.
var scalingMessage = regexp.MustCompile(`(?s)^Fleet \S+ in (\S+): desired instances (\d+) to (\d+), minimum \d+ to (\d+), maximum \d+ to (\d+) \((.*)\)$`)

func readScaling(message string) (l Scaling, ok bool) {
	m := scalingMessage.FindStringSubmatch(message)
	if m == nil {
		return l, false
	}
	l.Location, l.Why = arn.Location(m[1]), m[6]
	for i, to := range []*int{&l.From, &l.To, &l.Min, &l.Max} {
		*to, _ = strconv.Atoi(m[2+i]) // digits
	}
	return l, true
}
