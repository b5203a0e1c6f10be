// Uploads with the JavaScript SDK's S3 client what standard input says, in the form that
// upload.py explains, and prints what came of it. The first argument is a folder whose
// node_modules has @aws-sdk/client-s3.

import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const fromFolder = createRequire(path.join(path.resolve(process.argv[2]), "index.js"));
const sdk = fromFolder("@aws-sdk/client-s3");

const asked = JSON.parse(readFileSync(0, "utf8"));
const [accessKeyId, secretAccessKey, sessionToken] = asked.keys;
const s3 = new sdk.S3Client({
  endpoint: asked.endpoint,
  region: "us-west-2",
  credentials: { accessKeyId, secretAccessKey, sessionToken },
  maxAttempts: 1,
});
const where = { Bucket: asked.bucket, Key: asked.key };

async function run() {
  const file = readFileSync(asked.file);
  if (asked.how === "put") return s3.send(new sdk.PutObjectCommand({ ...where, Body: file }));
  if (asked.how === "stream")
    return s3.send(new sdk.PutObjectCommand({ ...where, Body: createReadStream(asked.file), ContentLength: file.length }));
  const { UploadId } = await s3.send(new sdk.CreateMultipartUploadCommand(where));
  const Parts = [];
  for (let at = 0; at < file.length; at += asked.part_size) {
    const PartNumber = Parts.length + 1;
    const Body = file.subarray(at, at + asked.part_size);
    const part = await s3.send(new sdk.UploadPartCommand({ ...where, UploadId, PartNumber, Body }));
    Parts.push({ PartNumber, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32 });
  }
  return s3.send(new sdk.CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload: { Parts } }));
}

try {
  const answer = await run();
  console.log(JSON.stringify({ etag: answer.ETag }));
} catch (e) {
  console.log(JSON.stringify({ code: e.name, message: e.message, status: e.$metadata?.httpStatusCode }));
}
