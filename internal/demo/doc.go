// Package demo is the tour of `make demo`: a server on SQLite, a real game server on the
// official SDK as a process of its own, players that join, leave and time out, and boto3's
// paginator in Go reading them back. It is a client like any other: it starts the server and
// from then on only calls the API.
package demo
