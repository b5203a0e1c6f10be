package compute

import "github.com/matchyard/matchyard/internal/store"

// The series of server processes (hosting.md 7), each with the fleet and the location.
const (
	ProcessActivations          = "gamelift_server_process_activations_total"
	ProcessTerminations         = "gamelift_server_process_terminations_total"
	ProcessAbnormalTerminations = "gamelift_server_process_abnormal_terminations_total"
)

// asWanted are the ends of processes that somebody wanted.
var asWanted = map[EndReason]bool{Normal: true, Deregistered: true, FleetDeleted: true, LocationDeleted: true, Shutdown: true}

// countEnd counts a process that ended.
func countEnd(tx *store.Tx, p Process, why EndReason) {
	tx.Count(ProcessTerminations, 1, string(p.Fleet), string(p.Location))
	if !asWanted[why] {
		tx.Count(ProcessAbnormalTerminations, 1, string(p.Fleet), string(p.Location))
	}
}
