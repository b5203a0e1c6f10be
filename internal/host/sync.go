package host

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/matchyard/matchyard/internal/arn"
	"github.com/matchyard/matchyard/internal/compute"
	"github.com/matchyard/matchyard/internal/fleet"
	"github.com/matchyard/matchyard/internal/hostmsg"
	"github.com/matchyard/matchyard/internal/store"
)

// lostGrace is how long game sessions on a lost instance may go on once its host is back.
const lostGrace = 6 * time.Hour

// syncTx compares what a host runs with what it is to run, and makes the answer to its Hello.
func (s *Service) syncTx(tx *store.Tx, host store.Key, h hostmsg.Hello) (*hostmsg.Sync, error) {
	runs := map[string]hostmsg.InstanceState{}
	for _, i := range h.Instances {
		runs[i.Instance] = i
	}
	list, err := onHost(tx, host)
	if err != nil {
		return nil, err
	}
	sync := &hostmsg.Sync{Instances: []hostmsg.Start{}}
	var stay []instance
	for _, i := range list {
		state, known := runs[i.id]
		if known && state.Status != hostmsg.Gone {
			stay = append(stay, i)
			if err := s.takeUpTx(tx, i, state); err != nil {
				return nil, err
			}
			if i.ending() || i.actual == lost {
				stop, err := s.stopMessage(tx, i)
				if err != nil {
					return nil, err
				}
				sync.Stopping = append(sync.Stopping, stop)
			}
			continue
		}
		if i.ending() || i.actual == lost {
			if err := s.endTx(tx, i, gone, compute.HostLost); err != nil {
				return nil, err
			}
			continue
		}
		stay = append(stay, i)
		if err := s.takeUpTx(tx, i, hostmsg.InstanceState{}); err != nil {
			return nil, err
		}
	}
	if sync.Instances, err = s.startsTx(tx, stay); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(`DELETE FROM host_message WHERE host = $1`, host); err != nil {
		return nil, err
	}
	return sync, s.remindTx(tx, host, stay, runs)
}

// takeUpTx notes what an agent that dialled anew says of an instance. The zero state means
// that it does not know it.
func (s *Service) takeUpTx(tx *store.Tx, i instance, state hostmsg.InstanceState) error {
	if i.actual != lost {
		is := actual(state.Status)
		if state.Status == "" || state.Status == hostmsg.Failed {
			is = pending
		}
		if is != i.actual {
			if _, err := tx.Exec(`UPDATE instance SET actual = $2, at = $3 WHERE key = $1`, i.key, is, tx.NowMs()); err != nil {
				return err
			}
		}
	}
	var running []string
	for _, p := range state.Processes {
		running = append(running, p.Process)
	}
	return s.Computes.AloneTx(tx, i.compute, running)
}

// remindTx leaves an agent what it may have missed of its processes: those that dialled, are
// ready, host something, and those that are to be gone.
func (s *Service) remindTx(tx *store.Tx, host store.Key, list []instance, runs map[string]hostmsg.InstanceState) error {
	var computes []store.Key
	var ids []string
	for _, i := range list {
		computes = append(computes, i.compute)
		for _, p := range runs[i.id].Processes {
			ids = append(ids, p.Process)
		}
	}
	live, err := s.Computes.LiveTx(tx, computes)
	if err != nil {
		return err
	}
	var messages []any
	var hosting []store.Key
	named := map[store.Key]compute.Process{}
	for _, p := range live {
		if p.ReadyAt.IsZero() {
			messages = append(messages, &hostmsg.Dialled{Instance: string(p.Compute), Process: p.ProcessID})
		} else {
			messages = append(messages, &hostmsg.Registered{Instance: string(p.Compute), Process: p.ProcessID, LogPaths: p.LogPaths})
		}
		if p.Status == compute.StatusHosting {
			hosting, named[p.Key] = append(hosting, p.Key), p
		}
	}
	games, err := s.Sessions.HostedOnTx(tx, hosting)
	if err != nil {
		return err
	}
	for _, g := range games {
		p := named[g.Process]
		messages = append(messages, &hostmsg.Hosting{Instance: string(p.Compute), Process: p.ProcessID, GameSession: string(g.Game)})
	}
	ended, err := s.Computes.EndedTx(tx, computes, ids)
	if err != nil {
		return err
	}
	for _, e := range ended {
		messages = append(messages, endMessage(e.Process, e.Why))
	}
	return sendTx(tx, host, messages...)
}

// endMessage is how an agent hears of the end of a process that it may still run.
func endMessage(p compute.Process, why compute.EndReason) any {
	if why == compute.Normal {
		return &hostmsg.Ending{Instance: string(p.Compute), Process: p.ProcessID}
	}
	return &hostmsg.Kill{Instance: string(p.Compute), Process: p.ProcessID, Reason: exitOf(why)}
}

// sendTx leaves messages for an agent.
func sendTx(tx *store.Tx, host store.Key, messages ...any) error {
	if len(messages) == 0 {
		return nil
	}
	rows := make([][]any, len(messages))
	for i, m := range messages {
		text, err := hostmsg.Encode(m)
		if err != nil {
			return err
		}
		rows[i] = []any{host, tx.NewKey(), string(text)}
	}
	notify(tx, map[store.Key]bool{host: true})
	return tx.InsertMany(`INSERT INTO host_message (host, number, text) VALUES ($1, $2, $3)`, rows)
}

// startsTx makes the messages that start instances, and notes that they were told. Those
// whose fleet is gone are left out.
func (s *Service) startsTx(tx *store.Tx, list []instance) ([]hostmsg.Start, error) {
	starts := make([]hostmsg.Start, 0, len(list))
	computes := make([]store.Key, len(list))
	for i, n := range list {
		computes[i] = n.compute
	}
	tokens, err := s.Computes.TokensTx(tx, computes)
	if err != nil {
		return nil, err
	}
	common := map[store.Key]*hostmsg.Start{}
	told := make([][]any, 0, len(list))
	for _, i := range list {
		start, known := common[i.fleet]
		if !known {
			if start, err = s.startOf(tx, i.fleetID); err != nil {
				return nil, err
			}
			common[i.fleet] = start
		}
		t := tokens[i.compute]
		var renew *int64
		if !i.ending() && i.actual != lost {
			renew = new(t.RenewAt.UnixMilli())
		}
		told = append(told, []any{i.key, renew})
		if start == nil {
			continue
		}
		one := *start
		one.Instance, one.Location, one.Token = i.id, string(i.location), t.Text
		starts = append(starts, one)
	}
	_, err = tx.ExecMany(`UPDATE instance SET told = rev, renew_at = $2 WHERE key = $1`, told)
	return starts, err
}

// startOf is what the instances of a fleet have in common; nil when the fleet is gone.
func (s *Service) startOf(tx *store.Tx, id arn.FleetID) (*hostmsg.Start, error) {
	f, err := s.Fleets.GetTx(tx, id)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	start := &hostmsg.Start{
		Fleet: string(f.ID), FleetARN: s.Home.Fleet(f.ID), Region: s.Home.Region, OS: string(f.OS),
		Endpoint: s.SDKEndpoint(), Runtime: runtimeOf(f), Swift: s.Config.Swift,
	}
	key := f.BuildKey
	name := ""
	if f.Script != "" {
		key = f.ScriptKey
		start.Build = hostmsg.Build{ID: string(f.Script), Script: true}
		c, err := s.Builds.ScriptTx(tx, string(f.Script))
		if err == nil {
			start.Build.Node = c.NodeJS
		}
	} else {
		start.Build = hostmsg.Build{ID: string(f.Build)}
		if b, err := s.Builds.GetTx(tx, string(f.Build)); err == nil && b.Name != nil {
			name = *b.Name
		}
	}
	file, err := s.Builds.FileTx(tx, key)
	switch {
	case err == nil:
		start.Build.URL, start.Build.Size = s.Links.Get(file.Blob, linkLife, ""), file.Size
	case !errors.Is(err, store.ErrNoRows):
		return nil, err
	}
	start.Metadata, err = metadata(s.Home, f, name)
	return start, err
}

// metadata is what gamelift-metadata.json on an instance holds (hosting.md 2.13).
func metadata(home arn.Home, f fleet.Fleet, buildName string) (json.RawMessage, error) {
	m := map[string]any{
		"fleetArn": home.Fleet(f.ID), "fleetName": f.Name, "fleetDescription": f.Description, "fleetType": f.FleetType,
		"instanceType": f.InstanceType, "runtimeConfiguration": f.Runtime,
	}
	if f.Build != "" {
		m["buildArn"], m["buildName"] = home.Build(f.Build), buildName
	}
	if f.Script != "" {
		m["scriptArn"] = home.Script(f.Script)
	}
	return json.Marshal(m)
}

// runtimeOf is a fleet's runtime configuration as agents get it.
func runtimeOf(f fleet.Fleet) hostmsg.Runtime {
	r := hostmsg.Runtime{
		Processes: []hostmsg.ServerProcess{}, MaxActivations: int(f.MaxActivations()), ActivationTimeout: int(f.ActivationTimeout().Seconds()),
	}
	if f.Runtime == nil {
		return r
	}
	for _, p := range f.Runtime.ServerProcesses {
		one := hostmsg.ServerProcess{LaunchPath: *p.LaunchPath, Concurrent: int(*p.ConcurrentExecutions)}
		if p.Parameters != nil {
			one.Parameters = *p.Parameters
		}
		r.Processes = append(r.Processes, one)
	}
	return r
}

// stopMessage is how an instance is stopped: at once, or when its processes had their time.
// A lost one that still hosts something goes on until that ends.
func (s *Service) stopMessage(tx *store.Tx, i instance) (hostmsg.Stop, error) {
	m := hostmsg.Stop{Instance: i.id, Grace: int(s.Config.orDefaults().StopGrace.Seconds())}
	if i.desired == kill {
		return hostmsg.Stop{Instance: i.id, Force: true}, nil
	}
	if i.actual != lost {
		return m, nil
	}
	hosting, err := s.Computes.HostingTx(tx, []store.Key{i.compute})
	if err == nil && hosting[i.compute] > 0 {
		m.Grace = int(lostGrace.Seconds())
		return m, nil
	}
	return hostmsg.Stop{Instance: i.id, Force: true}, err
}
