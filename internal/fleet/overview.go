package fleet

import (
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
