// Package console is the edge that people look at: a web page with the state of everything,
// the JSON it reads, and the few things it may change. It reads through the rooms and knows
// no table. Whatever it shows may have been written by a hostile player; the page puts all of
// it into text nodes, and its Content-Security-Policy runs no script but its own.
package console
