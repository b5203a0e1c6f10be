package compute

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/matchyard/matchyard/internal/store"
)

// SendTx puts one of the messages of push.go into a process's inbox, behind those that wait
// there already, and says so on ChannelProcess. The node that holds the socket sends it. A
// process that has ended gets nothing, and that is no error.
//
// A process that is sent a TerminateProcess gets no game session any more, does not count
// as activating, and is ended as Forced when the time has come.
func (s *Service) SendTx(tx *store.Tx, process store.Key, push any) error {
	switch m := push.(type) {
	case CreateGameSession, UpdateGameSession, RefreshConnection:
	case TerminateProcess:
		m, err := s.drainTx(tx, process, m)
		if err != nil {
			return err
		}
		push = m
	default:
		return fmt.Errorf("a %T is no message to a process", push)
	}
	text, err := json.Marshal(push)
	if err != nil {
		return err
	}
	if err := lockComputeOf(tx, process); err != nil {
		return err
	}
	var number int64
	err = tx.QueryRow(`UPDATE process SET sent = sent + 1 WHERE key = $1 AND status <> $2 RETURNING sent`, process, StatusEnded).Scan(&number)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	tx.Notify(ChannelProcess, strconv.FormatInt(int64(process), 10))
	_, err = tx.Exec(`INSERT INTO process_inbox (process, number, text) VALUES ($1, $2, $3)`, process, number, string(text))
	return err
}

// drainTx notes that a process is told to end, and returns the message with the time that it
// really has: an agent kills it sooner.
func (s *Service) drainTx(tx *store.Tx, process store.Key, t TerminateProcess) (TerminateProcess, error) {
	p, err := holdTx(tx, process)
	if errors.Is(err, store.ErrNoRows) || err == nil && p.Status == StatusEnded {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	if kill := tx.Now.Add(s.Config.orDefaults().KillAfter); p.Agent && kill.Before(t.At) {
		t.At = kill
	}
	before := p
	if p.activating = false; p.Agent || !t.Patient {
		p.EndBy = t.At
	}
	return t, saveTx(tx, before, p)
}

// TakeInbox removes and returns what waits for the given processes, each one's messages in
// the order they were sent. Whoever takes a message sends it, or puts it back.
func (s *Service) TakeInbox(ctx context.Context, processes []store.Key) ([]Message, error) {
	keys := make([]int64, len(processes))
	for i, p := range processes {
		keys[i] = int64(p)
	}
	var list []Message
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		list = nil
		rows, err := tx.Query(`DELETE FROM process_inbox WHERE `+tx.In("process", 1)+` RETURNING process, number, text`, store.List(tx, keys))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m Message
			var text string
			if err := rows.Scan(&m.Process, &m.number, &text); err != nil {
				return err
			}
			m.Text = []byte(text)
			list = append(list, m)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Message) int {
		return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.number, b.number))
	})
	return list, nil
}

// PutBack returns messages that TakeInbox gave and that could not be sent to their places
// in the inbox, for the next connection of their process. Those of ended processes are
// dropped.
func (s *Service) PutBack(ctx context.Context, m []Message) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		for _, m := range m {
			n, err := tx.Exec(`INSERT INTO process_inbox (process, number, text)
				SELECT key, CAST($2 AS BIGINT), CAST($3 AS TEXT) FROM process WHERE key = $1 AND status <> $4
				ON CONFLICT (process, number) DO NOTHING`, m.Process, m.number, string(m.Text), StatusEnded)
			if err != nil {
				return err
			}
			if n > 0 {
				tx.Notify(ChannelProcess, strconv.FormatInt(int64(m.Process), 10))
			}
		}
		return nil
	})
}

// HoldTx locks the compute of a process until the end of the transaction, for who sends it
// something after locking what stands above.
func (s *Service) HoldTx(tx *store.Tx, process store.Key) error { return lockComputeOf(tx, process) }
