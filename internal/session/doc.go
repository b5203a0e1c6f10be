// Package session owns game sessions and player sessions: the eleven operations on them,
// what a server process may do with its own, and the sweeps that end what has run out of
// time (sessions-placement.md 2 to 5). Its tables are game_session, game_session_text,
// game_session_creator and player_session.
//
// A game session's row carries the number of its RESERVED and ACTIVE player sessions, and
// each transaction that changes one changes the other, so the count is exact. Whoever locks
// rows locks game sessions first, in the order of their keys, and player sessions after
// them.
//
// It does not know sockets, tokens and hosts (package compute has the processes), queues
// and placements, which call it, nor the clock: time is that of the transaction.
package session
