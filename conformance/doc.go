// Package conformance drives the server from outside, as its users do: with boto3, the AWS
// CLI, the AWS SDKs for JavaScript and Go (one that speaks CBOR, an older one that speaks
// JSON), with the paginate package, and with game servers on the official server SDK, each a
// program of its own. It owns those programs and what is compared; it knows of the server
// only its binary, its flags and its two addresses.
//
// Every test runs on SQLite and on PostgreSQL. scripts/install-test-tools.sh brings the
// clients; a test whose client is missing says so and skips, or fails when CI or
// MATCHYARD_REQUIRE_CLIENTS is set.
package conformance
