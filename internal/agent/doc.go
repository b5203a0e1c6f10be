// Package agent runs game servers on a host, as the control plane wants them: it dials the
// control plane, fetches and unpacks builds, runs their install scripts, launches and watches
// over the processes of a fleet's runtime configuration, hands in the logs of game sessions,
// and reports what is. It speaks internal/hostmsg and has no database; what it must remember
// is in small files in its data folder, so that a new agent takes over the processes of one
// that was killed. It does not know what a game session is worth or where an instance should
// run: the server decides, and a server that is away changes nothing that runs.
package agent
