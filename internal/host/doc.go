// Package host owns hosts, the instances of managed fleets that run on them, the tokens that
// hosts join with, and what waits to be sent to hosts' agents (hosting.md 2.7, 3, DESIGN.md).
// Its tables are host, host_token, host_message, instance, instance_place, instance_pass and
// game_log. It does not hold sockets: the gateway does, and asks for what is to be sent. It
// does not launch anything either: agents do (hostmsg). What a fleet wants it is told by the
// fleet room; processes and their game sessions belong to compute and session, which it asks
// before it ends an instance.
//
// # Desired and actual
//
// An instance's row has what this server wants of it (desired) and what its agent last said
// (actual), in columns of their own. Pass changes the one, Report the other; whatever of the
// two arrives late, or twice, changes nothing.
//
// # Order of locks
//
// On PostgreSQL: the scheduler's row, then fleets, computes, processes, game sessions, then
// instances. A process's readiness takes its compute before the fleet, when it is the first
// of a new fleet; the database ends the rare deadlock by running one of the two again.
package host
