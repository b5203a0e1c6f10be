// Package compute owns computes, their auth tokens, the server processes that dial in from
// them, and each process's inbox (hosting.md 3, server-sdk-protocol.md 1 to 5). Its tables
// are compute, compute_agent, compute_quota, compute_token, process and process_inbox. It
// does not know game sessions: it gives a free process to whoever reserves one, and says
// through its seam Ended when a process is gone. It does not hold sockets either: the
// gateway does, and takes from the inbox what is to be sent.
//
// A process is one for all its connections. Connect numbers them (Process.Dial), so that
// the late close of an old socket changes nothing; Keep, which each node calls every few
// seconds for the sockets it holds, finds those that are no longer current.
//
// # Order of locks
//
// On PostgreSQL a transaction locks the fleet first (fleet.Service.HoldTx), then the row of
// the compute, then that of the process, then what the seam Ended touches, and the fleet's
// events last. Whatever changes a process changes it under its compute's lock, so the
// counts on the compute's row are always those of its processes. A transaction that locks
// several computes does so in the order of their keys; reservations, which follow fullness
// instead, do not wait for a compute while another one is to be had.
package compute
