// Package placement owns queues and placements: the seven operations on them, the choice of
// a home for each game session, and the trace that tells why (sessions-placement.md 6). Its
// tables are game_session_queue, placement, placement_text and placement_wait.
//
// policy.go is the choice, a pure function of a snapshot. start.go takes placements in and,
// where a process is free, starts their game sessions in the same transaction. pass.go is
// the engine for those that wait: it is woken by processes that become free, finds those
// that can use them in placement_wait, and shares one transaction among many. Any number of
// nodes may run passes at once: a pass claims the rows it works on, and leaves those that
// another one has claimed, so there is no node whose death holds anything up.
//
// It does not know sockets, hosts and the clock, nor how a process is chosen within a
// location (package compute does that), nor who is told of the outcome (package event).
// Whoever locks rows locks waiting placements before computes, and computes and game
// sessions before placements whose game session is being started.
package placement
