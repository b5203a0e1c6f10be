// Package scaling decides how many instances the locations of managed fleets shall have
// (hosting.md 2.12). It owns scaling policies and what they remember between two looks; once
// a minute it measures every location that has policies and changes its desired capacity
// through the fleet room, which records each change with the numbers it was made of.
// It also keeps the history of what the locations had.
//
// decide.go is the whole of the arithmetic and pure; testdata holds its stories. The room
// does not know hosts: who starts and ends the instances is another's business.
package scaling
