"""Reads a queue with boto3, step by step: each step prints a line of JSON, and the steps
that need something to happen first wait for a line of input."""

import hashlib
import json
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

endpoint, key, secret, weak_key, weak_secret = sys.argv[1:]


def client(key=key, secret=secret):
    return boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="us-west-2",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )


def say(step, **values):
    print(json.dumps({"step": step, **values}), flush=True)


def wait():
    sys.stdin.readline()


def error(call, **params):
    try:
        call(**params)
    except botocore.exceptions.ClientError as e:
        return [type(e).__name__, e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]]
    return None


sqs = client()
say("queues", urls=sqs.list_queues().get("QueueUrls"), some=sqs.list_queues(QueueNamePrefix="pl").get("QueueUrls"),
    none=sqs.list_queues(QueueNamePrefix="zz").get("QueueUrls"))
queue = sqs.get_queue_url(QueueName="placements")["QueueUrl"]
say("url", url=queue)
say("attributes", all=sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"],
    one=sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"])
started = time.monotonic()
say("empty", messages=sqs.receive_message(QueueUrl=queue).get("Messages"), seconds=time.monotonic() - started)

# A long poll is answered when something happens.
say("polling")
started = time.monotonic()
got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20, MessageSystemAttributeNames=["All"])["Messages"]
m = got[0]
say("polled", seconds=time.monotonic() - started, count=len(got), body=m["Body"], id=m["MessageId"], attributes=m["Attributes"],
    md5=m["MD5OfBody"] == hashlib.md5(m["Body"].encode()).hexdigest())

# It is hidden until its time is over or it is given back.
say("hidden", messages=sqs.receive_message(QueueUrl=queue).get("Messages"),
    counts=sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])["Attributes"])
sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=0)
again = sqs.receive_message(QueueUrl=queue, AttributeNames=["ApproximateReceiveCount"], VisibilityTimeout=1)["Messages"][0]
started = time.monotonic()
third = sqs.receive_message(QueueUrl=queue, AttributeNames=["ApproximateReceiveCount"], WaitTimeSeconds=20)["Messages"][0]
say("again", count=again["Attributes"], third=third["Attributes"], same=third["MessageId"] == m["MessageId"], seconds=time.monotonic() - started,
    stale=error(sqs.change_message_visibility, QueueUrl=queue, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=5))
sqs.delete_message(QueueUrl=queue, ReceiptHandle=third["ReceiptHandle"])
sqs.delete_message(QueueUrl=queue, ReceiptHandle=third["ReceiptHandle"])
say("deleted", gone=error(sqs.change_message_visibility, QueueUrl=queue, ReceiptHandle=third["ReceiptHandle"], VisibilityTimeout=5))

# Many, in order within their order.
say("many")
wait()
bodies, batches = [], 0
while len(bodies) < 25:
    got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5).get("Messages", [])
    if not got:
        break
    batches += 1
    bodies += [m["Body"] for m in got]
    entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(got)]
    answer = sqs.delete_message_batch(QueueUrl=queue, Entries=entries + [{"Id": "bad", "ReceiptHandle": "nonsense"}][: 10 - len(entries)])
    if len(answer["Successful"]) != len(got):
        break
say("received", bodies=bodies, batches=batches)

# Purging leaves nothing.
say("purge")
wait()
sqs.purge_queue(QueueUrl=queue)
say("purged", messages=sqs.receive_message(QueueUrl=queue).get("Messages"))

handle = m["ReceiptHandle"]
say(
    "errors",
    queue=error(sqs.get_queue_url, QueueName="none"),
    url=error(sqs.receive_message, QueueUrl=queue + "x"),
    handle=error(sqs.delete_message, QueueUrl=queue, ReceiptHandle="nonsense"),
    foreign=error(sqs.delete_message, QueueUrl=queue.replace("placements", "wrapped"), ReceiptHandle=handle),
    most=error(sqs.receive_message, QueueUrl=queue, MaxNumberOfMessages=11),
    long=error(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=21),
    empty=error(sqs.delete_message_batch, QueueUrl=queue, Entries=[]),
    twice=error(sqs.delete_message_batch, QueueUrl=queue, Entries=[{"Id": "1", "ReceiptHandle": handle}] * 2),
    many=error(sqs.delete_message_batch, QueueUrl=queue, Entries=[{"Id": str(i), "ReceiptHandle": handle} for i in range(11)]),
    send=error(sqs.send_message, QueueUrl=queue, MessageBody="x"),
    create=error(sqs.create_queue, QueueName="x"),
    secret=error(client(secret="wrong").list_queues),
    key=error(client(key="AKIANOBODY").list_queues),
    policy=error(client(weak_key, weak_secret).receive_message, QueueUrl=queue),
    exception=isinstance(sqs.exceptions.QueueDoesNotExist, type),
)
try:
    sqs.get_queue_url(QueueName="none")
except sqs.exceptions.QueueDoesNotExist:
    say("typed")

# The other envelope.
wrapped = sqs.get_queue_url(QueueName="wrapped")["QueueUrl"]
m = sqs.receive_message(QueueUrl=wrapped)["Messages"][0]
say("wrapped", body=json.loads(m["Body"]), md5=m["MD5OfBody"] == hashlib.md5(m["Body"].encode()).hexdigest())

# The end of the server ends a poll.
say("ending")
started = time.monotonic()
say("ended", messages=sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages"), seconds=time.monotonic() - started)
