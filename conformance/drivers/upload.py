"""Uploads with boto3's S3 client what standard input says, as JSON, and prints what came of it, as JSON.

Input: endpoint, keys (access key, secret, session token), bucket, key, file, and how: "put", "transfer" (s3transfer, in parts
of part_size bytes), "abort" (a part, and then the end of it). ca, if given, is the certificate to trust.
"""

import json
import os
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

asked = json.load(sys.stdin)
access, secret, token = asked["keys"]
s3 = boto3.client(
    "s3",
    endpoint_url=asked["endpoint"],
    region_name="us-west-2",
    aws_access_key_id=access,
    aws_secret_access_key=secret,
    aws_session_token=token,
    verify=asked.get("ca"),
    config=Config(retries={"total_max_attempts": 1}),
)
where = {"Bucket": asked["bucket"], "Key": asked["key"]}
try:
    if asked["how"] == "put":
        with open(asked["file"], "rb") as body:
            answer = s3.put_object(Body=body, **where)
    elif asked["how"] == "transfer":
        config = TransferConfig(multipart_threshold=asked["part_size"], multipart_chunksize=asked["part_size"])
        s3.upload_file(asked["file"], asked["bucket"], asked["key"], Config=config)
        answer = s3.head_object(**where)
    else:
        upload = s3.create_multipart_upload(**where)["UploadId"]
        s3.upload_part(UploadId=upload, PartNumber=1, Body=b"x" * 100, **where)
        listed = s3.list_parts(UploadId=upload, **where)["Parts"]
        s3.abort_multipart_upload(UploadId=upload, **where)
        answer = {"ETag": listed[0]["ETag"]}
    print(json.dumps({"etag": answer["ETag"], "size": os.path.getsize(asked["file"])}))
except ClientError as e:
    print(json.dumps({"code": e.response["Error"]["Code"], "message": e.response["Error"]["Message"], "status": e.response["ResponseMetadata"]["HTTPStatusCode"]}))
except Exception as e:  # s3transfer wraps in exceptions of its own
    print(json.dumps({"code": type(e).__name__, "message": str(e)}))
