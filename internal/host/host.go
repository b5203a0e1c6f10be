package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// Host is a machine on which instances run.
type Host struct {
	Key      store.Key
	Name     string
	Location arn.Location
	Address  string
	DNSName  string
	OS       string
	Version  string // of its agent
	Capacity int    // instances it takes
	Used     int    // instances it has
	Draining bool
	// Connected says that a node holds its agent's socket, or did when last heard of.
	Connected bool
	SeenAt    time.Time // by the wall clock
	LostAt    time.Time // when its instances were given up; zero: they were not
	JoinedAt  time.Time
	CPU       float64 // 0 to 1
	Memory    uint64  // bytes in use
	MemoryOf  uint64  // bytes there are
}

// Joined is a connection of an agent. Of two connections of one host the one with the greater
// number is current.
type Joined struct {
	Host store.Key
	Dial int64
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	location = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	address  = regexp.MustCompile(`^[0-9A-Fa-f:.]{1,128}$`)
	beaconAt = regexp.MustCompile(`^(|([0-9A-Za-z_.-]{1,256}|\[[0-9A-Fa-f:.]{2,64}\]):[1-9][0-9]{0,4})$`)
	dnsName  = regexp.MustCompile(`^[0-9A-Za-z_.-]{0,256}$`)
)

const mostCapacity = 10_000 // instances of one host

// checkHello refuses what no host can say of itself.
func checkHello(h hostmsg.Hello) *hostmsg.Refuse {
	for _, c := range []struct {
		ok    bool
		field string
		got   any
	}{
		{hostName.MatchString(h.Host), "host", h.Host},
		{location.MatchString(h.Location), "location", h.Location},
		{address.MatchString(h.Address), "address", h.Address},
		{dnsName.MatchString(h.DNSName), "dnsName", h.DNSName},
		{beaconAt.MatchString(h.Beacon), "beacon", h.Beacon},
		{h.OS == "linux" || h.OS == "windows", "os", h.OS},
		{h.Capacity >= 0 && h.Capacity <= mostCapacity, "capacity", h.Capacity},
		{len(h.Version) <= maxName, "version", h.Version},
	} {
		if !c.ok {
			return &hostmsg.Refuse{Reason: fmt.Sprintf("%s: %q cannot be", c.field, fmt.Sprint(c.got))}
		}
	}
	return nil
}

// Hello lets a host in, or refuses it, and tells it what to run. What the agent runs besides
// it then stops; what it does not know any more it starts again. A host that was lost gets
// its instances back only to stop them: others took their place.
func (s *Service) Hello(ctx context.Context, secret string, h hostmsg.Hello) (j Joined, sync *hostmsg.Sync, refuse *hostmsg.Refuse, err error) {
	if h.Location == "" {
		h.Location = s.Home.Region
	}
	if refuse = checkHello(h); refuse != nil {
		return j, nil, refuse, nil
	}
	wall := s.Wall().UnixMilli()
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		j, sync, refuse = Joined{}, nil, nil
		token, err := tokenTx(tx, secret)
		if errors.Is(err, store.ErrNoRows) {
			refuse = &hostmsg.Refuse{Reason: "the token is unknown or revoked"}
			return nil
		}
		if err != nil {
			return err
		}
		if j, refuse, err = s.joinTx(tx, token, h, wall); err != nil || refuse != nil {
			return err
		}
		sync, err = s.syncTx(tx, j.Host, h)
		return err
	})
	return j, sync, refuse, err
}

// joinTx writes the host's row.
func (s *Service) joinTx(tx *store.Tx, token string, h hostmsg.Hello, wall int64) (j Joined, refuse *hostmsg.Refuse, err error) {
	if _, err := tx.Exec(`UPDATE host_token SET used_at = $2 WHERE id = $1`, token, tx.NowMs()); err != nil {
		return j, nil, err
	}
	var was struct {
		token, location string
		node            *string
		seen            int64
		lost            *int64
	}
	err = tx.QueryRow(`SELECT key, dial, token, location, node, seen_at, lost_at FROM host WHERE name = $1`+tx.ForUpdate(), h.Host).
		Scan(&j.Host, &j.Dial, &was.token, &was.location, &was.node, &was.seen, &was.lost)
	j.Dial++
	if errors.Is(err, store.ErrNoRows) {
		j.Host = tx.NewKey()
		_, err := tx.Exec(`INSERT INTO host (key, name, token, location, address, dns_name, os, version, capacity, draining, dial, node, seen_at,
				cpu, memory, memory_of, joined_at, beacon) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, 0, 0, 0, $13, $14)`,
			j.Host, h.Host, token, h.Location, h.Address, h.DNSName, h.OS, h.Version, h.Capacity, j.Dial, s.DB.Node(), wall, tx.NowMs(), h.Beacon)
		tx.Notify(fleet.ChannelCapacity, "")
		return j, nil, err
	}
	if err != nil {
		return j, nil, err
	}
	live := was.node != nil && was.lost == nil && wall-was.seen < s.Config.orDefaults().LostAfter.Milliseconds()
	if live && was.token != token {
		return j, &hostmsg.Refuse{Reason: "host: " + h.Host + " is connected with another token", Retry: true}, nil
	}
	if was.location != h.Location {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM instance WHERE host = $1 AND ended_at IS NULL`, j.Host).Scan(&n); err != nil {
			return j, nil, err
		}
		if n > 0 {
			return j, &hostmsg.Refuse{Reason: fmt.Sprintf("location: %s has %d instances in %s; drain it first", h.Host, n, was.location), Retry: true}, nil
		}
	}
	_, err = tx.Exec(`UPDATE host SET token = $2, location = $3, address = $4, dns_name = $5, os = $6, version = $7, capacity = $8, dial = $9, node = $10,
			seen_at = $11, lost_at = NULL, beacon = $12 WHERE key = $1`,
		j.Host, token, h.Location, h.Address, h.DNSName, h.OS, h.Version, h.Capacity, j.Dial, s.DB.Node(), wall, h.Beacon)
	tx.Notify(fleet.ChannelCapacity, "")
	return j, nil, err
}

// Seen is what a node knows of an agent whose socket it holds.
type Seen struct {
	Joined
	hostmsg.Alive
}

// Keep says which agents this node holds and has heard of lately, and returns the
// connections that it should close: the host has a newer one, or was given up meanwhile and
// must say Hello again.
func (s *Service) Keep(ctx context.Context, held []Seen) (stale []Joined, err error) {
	if len(held) == 0 {
		return nil, nil
	}
	wall := s.Wall().UnixMilli()
	rows := make([][]any, len(held))
	for i, h := range held {
		rows[i] = []any{
			h.Host, h.Dial, wall, s.DB.Node(), int64(1000 * min(1, max(0, h.CPU))),
			int64(min(h.Memory, math.MaxInt64)), int64(min(h.MemoryTotal, math.MaxInt64)),
		}
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		stale = nil
		n, err := tx.ExecMany(`UPDATE host SET seen_at = $3, node = $4, cpu = $5, memory = $6, memory_of = $7 WHERE key = $1 AND dial = $2 AND lost_at IS NULL`, rows)
		if err != nil {
			return err
		}
		for i, n := range n {
			if n == 0 {
				stale = append(stale, held[i].Joined)
			}
		}
		return nil
	})
	return stale, err
}

// Leave says that a connection ended. It changes nothing when the host has another one.
func (s *Service) Leave(ctx context.Context, j Joined) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE host SET node = NULL WHERE key = $1 AND dial = $2`, j.Host, j.Dial)
		return err
	})
}

// Hosts lists all hosts, in the order of their names.
func (s *Service) Hosts(ctx context.Context) (list []Host, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT h.key, h.name, h.location, h.address, h.dns_name, h.os, h.version, h.capacity, COALESCE(u.n, 0), h.draining,
				CASE WHEN h.node IS NULL THEN 0 ELSE 1 END, h.seen_at, h.lost_at, h.joined_at, h.cpu, h.memory, h.memory_of
			FROM host h LEFT JOIN (SELECT host, count(*) AS n FROM instance WHERE ended_at IS NULL GROUP BY host) u ON u.host = h.key ORDER BY h.name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h Host
			var off, connected, seen, joined, cpu, memory, memoryOf int64
			var lostAt *int64
			if err := rows.Scan(&h.Key, &h.Name, &h.Location, &h.Address, &h.DNSName, &h.OS, &h.Version, &h.Capacity, &h.Used, &off,
				&connected, &seen, &lostAt, &joined, &cpu, &memory, &memoryOf); err != nil {
				return err
			}
			h.Draining, h.Connected = off == 1, connected == 1 && lostAt == nil
			h.SeenAt, h.LostAt, h.JoinedAt = instant(&seen), instant(lostAt), instant(&joined)
			h.CPU, h.Memory, h.MemoryOf = float64(cpu)/1000, uint64(memory), uint64(memoryOf)
			list = append(list, h)
		}
		return rows.Err()
	})
	return list, err
}

// BeaconsTx is where the ping beacon of each location is, HOST:PORT, of those where hosts have
// one. Of several it is the one of the host that is connected, stays, and joined first: always
// the same, as long as that one is there. A lost host's is nobody's.
func (s *Service) BeaconsTx(tx *store.Tx) (map[arn.Location]string, error) {
	list := map[arn.Location]string{}
	_, err := store.All(func(row store.Scanner) (at arn.Location, err error) {
		var where string
		err = row.Scan(&at, &where)
		if _, found := list[at]; !found {
			list[at] = where
		}
		return at, err
	})(tx.Query(`SELECT location, beacon FROM host WHERE beacon <> '' AND lost_at IS NULL
		ORDER BY location, CASE WHEN node IS NULL THEN 1 ELSE 0 END, draining, key`))
	return list, err
}

// LostTx is how many hosts of each location, of those with any, are lost: silent for too long,
// and not heard of since.
func (s *Service) LostTx(tx *store.Tx) (map[arn.Location]int, error) {
	list := map[arn.Location]int{}
	_, err := store.All(func(row store.Scanner) (at arn.Location, err error) {
		var n int
		err = row.Scan(&at, &n)
		list[at] = n
		return at, err
	})(tx.Query(`SELECT location, CAST(sum(CASE WHEN lost_at IS NULL THEN 0 ELSE 1 END) AS BIGINT) FROM host GROUP BY location ORDER BY location`))
	return list, err
}

// Drain empties a host, or lets it be filled again: it gets no new instances, those it has
// are replaced elsewhere and end as soon as they host no game session.
func (s *Service) Drain(ctx context.Context, name string, on bool) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE host SET draining = $2 WHERE name = $1`, name, flag(on))
		if err == nil && n == 0 {
			err = fmt.Errorf("host %q: %w", name, ErrUnknown)
		}
		tx.Notify(fleet.ChannelCapacity, "")
		return err
	})
}

// Forget removes a host that is not connected and has no instance left; one that dials again
// is a new one.
func (s *Service) Forget(ctx context.Context, name string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		var key store.Key
		var connected, used int
		err := tx.QueryRow(`SELECT key, CASE WHEN node IS NULL THEN 0 ELSE 1 END, (SELECT count(*) FROM instance i WHERE i.host = h.key AND i.ended_at IS NULL)
			FROM host h WHERE name = $1`, name).Scan(&key, &connected, &used)
		switch {
		case errors.Is(err, store.ErrNoRows):
			return fmt.Errorf("host %q: %w", name, ErrUnknown)
		case err != nil:
			return err
		case connected == 1:
			return fmt.Errorf("host %q is connected; stop its agent first", name)
		case used > 0:
			return fmt.Errorf("host %q has %d instances; drain it first", name, used)
		}
		if _, err := tx.Exec(`DELETE FROM host_message WHERE host = $1`, key); err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM host WHERE key = $1 AND node IS NULL`, key)
		return err
	})
}
