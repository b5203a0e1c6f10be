// Package sim runs matchmaking offline: a stream of tickets, recorded or drawn from a
// profile, through the engine and the tickets' lifecycle in virtual time, and a report of
// who waited how long for what. The same stream, rule set and seed give the same report,
// to the byte. It owns the formats of streams and profiles and the look of the report; it
// has no server, no store and no clock.
//
// The way through it: ReadStream or Profile.Generate make a Stream, Run plays it and gives
// a Run, a Report holds one or several, and Report.HTML draws it. Greedy is another matcher
// to compare the engine with.
package sim
