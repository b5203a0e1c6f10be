"""Reads a number of messages of a queue with boto3's SQS client, deletes each, and prints its body, one a line.

usage: read_queue.py ENDPOINT QUEUE NUMBER
"""

import sys

import boto3

endpoint, queue, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
sqs = boto3.client("sqs", endpoint_url=endpoint, region_name="us-west-2", aws_access_key_id="any", aws_secret_access_key="any")
url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
got = 0
while got < number:
    for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10).get("Messages", []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        print(message["Body"], flush=True)
        got += 1
