#!/usr/bin/env node
// Lists the players of a game session with the paginator of the AWS SDK for JavaScript.
//
//   npm install
//   export AWS_ENDPOINT_URL_GAMELIFT=http://127.0.0.1:9170 AWS_REGION=us-west-2
//   export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
//   ./players.js GAME_SESSION_ID --page-size 100
//
// The SDK pages, but has no total of items and no token inside a page: to stop
// early, leave the loop and keep page.NextToken.

import { parseArgs } from "node:util";
import { GameLiftClient, paginateDescribePlayerSessions } from "@aws-sdk/client-gamelift";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    status: { type: "string" },
    "page-size": { type: "string" },
    "starting-token": { type: "string" }, // a NextToken of the server
  },
});
if (positionals.length !== 1) {
  console.error("usage: players.js GAME_SESSION_ID [--status S] [--page-size N] [--starting-token T]");
  process.exit(2);
}

// The client reads the endpoint, the region and the credentials from the environment.
const client = new GameLiftClient({});
const pages = paginateDescribePlayerSessions(
  {
    client,
    pageSize: values["page-size"] && Number(values["page-size"]),
    startingToken: values["starting-token"],
    stopOnSameToken: true,
  },
  { GameSessionId: positionals[0], PlayerSessionStatusFilter: values.status },
);
for await (const page of pages) {
  for (const p of page.PlayerSessions) {
    console.log([p.PlayerSessionId, p.PlayerId, p.Status, p.IpAddress, p.Port].join("\t"));
  }
}
