// Package bench measures the speed of whole paths, each beside a baseline of the same run
// (design goals: docs/performance.md), and prints one line a path:
//
//	bench NAME FIGURE UNIT baseline=FIGURE ratio=R
//
// The server runs in this process on a real listener, and the load comes from it too, over
// loopback; both share the machine. It knows what the paths cost and nothing of their rules.
package bench
