// Package sigv4 verifies AWS Signature Version 4: of API requests, by wire-protocol.md 4.2
// step by step, of S3 requests, and of the query a game server dials with
// (server-sdk-protocol.md 1.3). It is pure: the instant, the keys and the body are handed to
// it. It does not know where keys are kept, nor what a caller may do.
package sigv4
