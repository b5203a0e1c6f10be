"""Runs botocore's own paginator over a stub of the service.

One JSON object a line on standard input is one question, one line on standard
output its answer. botocore's code is used as it is installed; only the client's
method that would make the HTTP request is replaced by a stub.
"""

import datetime
import json
import sys

import boto3
import botocore
import botocore.paginate
import botocore.session

CLIENT = boto3.client(
    "gamelift",
    region_name="us-west-2",
    aws_access_key_id="stub",
    aws_secret_access_key="stub",
)


class TooManyCalls(Exception):
    pass


def stub(question, calls):
    """The service of the question: its pages by token, or a list cut by Limit."""
    key = question["key"]
    date_keys = set(question.get("dates", []))

    def item(value):
        if isinstance(value, dict):
            return {
                k: datetime.datetime.fromtimestamp(v, datetime.timezone.utc)
                if k in date_keys else item(v)
                for k, v in value.items()
            }
        if isinstance(value, list):
            return [item(v) for v in value]
        return value

    def method(**kwargs):
        calls.append({"NextToken": kwargs.get("NextToken"), "Limit": kwargs.get("Limit")})
        if len(calls) > question["max_calls"]:
            raise TooManyCalls()
        token = kwargs.get("NextToken")
        if "graph" in question:
            page = question["graph"].get(token or "")
            if page is None:
                raise ValueError("no such page")
            return {k: item(v) for k, v in page.items()}
        start = int(token[1:]) if token else 0
        end = start + kwargs.get("Limit", question["default_limit"])
        page = {key: item(question["items"][start:end])}
        if end < len(question["items"]):
            page["NextToken"] = "t%d" % end
        return page

    return method


def plain(value):
    if isinstance(value, datetime.datetime):
        return {"datetime": value.timestamp()}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def run(question):
    calls = []
    paginator = CLIENT.get_paginator(question["operation"])
    paginator._method = stub(question, calls)
    config = {k: v for k, v in question["config"].items() if v is not None}
    answer = {"pages": [], "calls": calls, "error": None, "resume": None}
    try:
        pages = paginator.paginate(PaginationConfig=config, **question.get("params", {}))
        if "search" in question:
            answer["results"] = []
            for result in pages.search(question["search"]):
                answer["results"].append(plain(result))
        elif question.get("full"):
            answer["full"] = plain(pages.build_full_result())
        else:
            for page in pages:
                answer["pages"].append(plain(page.get(question["key"])))
        answer["resume"] = pages.resume_token
    except Exception as e:  # every failure is an answer
        answer["error"] = "%s: %s" % (type(e).__name__, e)
    return answer


def parse(question):
    iterator = CLIENT.get_paginator("list_fleets").paginate(
        PaginationConfig={"StartingToken": question["token"]}
    )
    try:
        token, skip = iterator._parse_starting_token()
        return {"token": token, "skip": skip, "error": None}
    except Exception as e:
        return {"error": "%s: %s" % (type(e).__name__, e)}


def encode(question):
    return {"token": botocore.paginate.TokenEncoder().encode(question["object"])}


def paginators(_):
    loader = botocore.session.get_session().get_component("data_loader")
    return loader.load_service_model("gamelift", "paginators-1")["pagination"]


QUESTIONS = {"run": run, "parse": parse, "encode": encode, "paginators": paginators}

print(json.dumps({"botocore": botocore.__version__}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        replied = QUESTIONS[asked["ask"]](asked)
    except Exception as e:
        replied = {"driver_error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(replied), flush=True)
