// A client of the AWS SDK for JavaScript that does what standard input says, one JSON
// object a line, in the form that driver.py explains. The first argument is a folder
// whose node_modules has @aws-sdk/client-gamelift.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";

const fromFolder = createRequire(path.join(path.resolve(process.argv[2]), "index.js"));
const sdk = fromFolder("@aws-sdk/client-gamelift");
const fromSDK = createRequire(fromFolder.resolve("@aws-sdk/client-gamelift"));
const { AwsSmithyRpcV2CborProtocol } = fromSDK("@aws-sdk/core/protocols");
const { version } = fromFolder("@aws-sdk/client-gamelift/package.json");

const clients = new Map();

function client(asked) {
  const key = JSON.stringify([asked.endpoint, asked.protocol, asked.keys]);
  if (!clients.has(key)) {
    const [accessKeyId, secretAccessKey, sessionToken] = asked.keys ?? ["AKIDCONFORMANCE", "secret"];
    clients.set(
      key,
      new sdk.GameLiftClient({
        region: "us-west-2",
        endpoint: asked.endpoint,
        credentials: { accessKeyId, secretAccessKey, sessionToken: sessionToken ?? undefined },
        maxAttempts: 1,
        ...(asked.protocol === "cbor" && { protocol: AwsSmithyRpcV2CborProtocol }),
      }),
    );
  }
  return clients.get(key);
}

function given(value) {
  if (Array.isArray(value)) return value.map(given);
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "$ms") return new Date(value.$ms);
  if (keys.length === 1 && keys[0] === "$bytes") return Buffer.from(value.$bytes, "base64");
  return Object.fromEntries(keys.map((k) => [k, given(value[k])]));
}

function plain(value) {
  if (value instanceof Date) return { $ms: value.getTime() };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  // Wrappers of numbers print as numbers.
  if (value.constructor?.name === "NumericValue") return Number(value.string);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([k, v]) => k !== "$metadata" && v !== undefined)
      .map(([k, v]) => [k, plain(v)]),
  );
}

async function call(asked) {
  const Command = sdk[`${asked.op}Command`];
  return { result: plain(await client(asked).send(new Command(given(asked.params ?? {})))) };
}

async function pages(asked) {
  const { PageSize, StartingToken } = asked.config;
  const paginate = sdk[`paginate${asked.op}`];
  const found = [];
  const all = paginate(
    { client: client(asked), pageSize: PageSize ?? undefined, startingToken: StartingToken ?? undefined, stopOnSameToken: true },
    given(asked.params ?? {}),
  );
  for await (const page of all) found.push(plain(page[asked.key] ?? []));
  return { pages: found };
}

function failed(e) {
  // What a caller's `instanceof` finds.
  const typed = sdk[e.name];
  return {
    error: {
      code: e.name ?? "",
      class: typeof typed === "function" && e instanceof typed ? e.name : "",
      message: e.message ?? "",
      status: e.$metadata?.httpStatusCode ?? 0,
      request: e.$metadata?.requestId ?? "",
    },
  };
}

const verbs = { call, pages };
console.log(JSON.stringify({ client: `@aws-sdk/client-gamelift ${version}`, cbor: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  verbs[asked.do](asked)
    .catch((e) => failed(e))
    .then((answer) => console.log(JSON.stringify({ id: asked.id, ...answer })));
}
