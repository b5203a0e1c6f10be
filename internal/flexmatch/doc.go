// Package flexmatch is the matchmaking engine: it reads FlexMatch rule sets, says what is
// wrong with them, and finds matches in a pool of tickets. It is pure: no clock (time is
// an argument), no I/O, no goroutines, no store. The same rule set, options, tickets and
// instants give the same matches.
//
// The way through it: Parse turns a rule set body into a RuleSet or into Findings.
// NewPool compiles the rules to closures over the pool's columns, once for every step of
// the expansions. Pool.Add and Pool.Remove keep the tickets, Pool.Pass makes the matches
// that are possible at an instant, Pool.Explain says why a ticket is still waiting.
//
// A rule type is one rule_*.go file and one line in rules.go. Package lifecycle, below,
// holds the states of a ticket; package evalcase runs written cases through both.
//
// What it does not know: configurations, queues, game sessions, events' delivery.
package flexmatch
