// Package matchmaking owns matchmaking rule sets and configurations, tickets, and the matches
// they are in until these are placed or dropped (flexmatch.md 2). Matches are found by package
// flexmatch in a pool in memory, which the node has that holds the configuration's lease; the
// rows decide what becomes of them. It does not know how game sessions are placed and players
// seated (placement, session do that for it), nor who hears of events.
//
// The way of a ticket: StartMatchmaking (start.go) writes its row and hands it to the pool
// (pool.go); a pass (pass.go) finds its match, which match.go proposes, places or joins to a
// game session; answer.go takes the players' answers; sweep.go ends what is overdue. What a
// transaction does to tickets is a work (work.go): transitions of package lifecycle, then one
// save.
package matchmaking
