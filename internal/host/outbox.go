package host

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// Outgoing is a frame for an agent.
type Outgoing struct {
	Host store.Key
	Text []byte
}

// Outbox takes what is to be sent to the agents of the given connections, in order: instances
// to start, change or stop, then the rest. Connections that are not their host's current one
// get nothing. What is taken and cannot be sent needs no return: the agent's next Hello is
// answered with the whole state.
func (s *Service) Outbox(ctx context.Context, to []Joined) (list []Outgoing, err error) {
	if len(to) == 0 {
		return nil, nil
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		list = nil
		hosts, err := currentTx(tx, to)
		if err != nil || len(hosts) == 0 {
			return err
		}
		untold, err := instances(tx, `WHERE `+tx.In("host", 1)+` AND told < rev ORDER BY key`+tx.ForUpdate(), store.List(tx, hosts))
		if err != nil {
			return err
		}
		if list, err = s.toldTx(tx, untold); err != nil {
			return err
		}
		more, err := takeTx(tx, hosts)
		list = append(list, more...)
		return err
	})
	return list, err
}

// currentTx are the hosts whose current connection is one of those given.
func currentTx(tx *store.Tx, to []Joined) ([]int64, error) {
	given := map[Joined]bool{}
	keys := make([]int64, len(to))
	for i, j := range to {
		given[j], keys[i] = true, int64(j.Host)
	}
	rows, err := tx.Query(`SELECT key, dial FROM host WHERE `+tx.In("key", 1)+` AND lost_at IS NULL ORDER BY key`, store.List(tx, keys))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var hosts []int64
	for rows.Next() {
		var j Joined
		if err := rows.Scan(&j.Host, &j.Dial); err != nil {
			return nil, err
		}
		if given[j] {
			hosts = append(hosts, int64(j.Host))
		}
	}
	return hosts, rows.Err()
}

// toldTx makes the messages for instances of which agents have not heard the newest.
func (s *Service) toldTx(tx *store.Tx, untold []instance) ([]Outgoing, error) {
	var list []Outgoing
	add := func(host store.Key, m any) error {
		text, err := hostmsg.Encode(m)
		list = append(list, Outgoing{host, text})
		return err
	}
	var begin, end []instance
	for _, i := range untold {
		if i.ending() || i.endedAt != nil || i.actual == lost {
			end = append(end, i)
		} else {
			begin = append(begin, i)
		}
	}
	starts, err := s.startsTx(tx, begin)
	if err != nil {
		return nil, err
	}
	hosts := map[string]store.Key{}
	for _, i := range begin {
		hosts[i.id] = i.host
	}
	for _, m := range starts {
		if err := add(hosts[m.Instance], &m); err != nil {
			return nil, err
		}
	}
	told := make([][]any, 0, len(end))
	for _, i := range end {
		told = append(told, []any{i.key})
		m, err := s.stopMessage(tx, i)
		if err := errors.Join(err, add(i.host, &m)); err != nil {
			return nil, err
		}
	}
	_, err = tx.ExecMany(`UPDATE instance SET told = rev WHERE key = $1`, told)
	return list, err
}

// takeTx removes and returns the messages that wait for hosts, each one's in order.
func takeTx(tx *store.Tx, hosts []int64) ([]Outgoing, error) {
	rows, err := tx.Query(`DELETE FROM host_message WHERE `+tx.In("host", 1)+` RETURNING host, number, text`, store.List(tx, hosts))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type numbered struct {
		Outgoing
		number int64
	}
	var taken []numbered
	for rows.Next() {
		var m numbered
		var text string
		if err := rows.Scan(&m.Host, &m.number, &text); err != nil {
			return nil, err
		}
		m.Text = []byte(text)
		taken = append(taken, m)
	}
	slices.SortFunc(taken, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	list := make([]Outgoing, len(taken))
	for i, m := range taken {
		list[i] = m.Outgoing
	}
	return list, rows.Err()
}
