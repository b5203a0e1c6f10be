"""A boto3 client that does what standard input says, one JSON object a line.

The first line out says what it is. Each line in is a request with an "id", and is
answered by one line with the same id; requests of one process run side by side.
Values keep their kind on the way: a time is {"$ms": milliseconds}, a float has a
decimal point, an integer has none.
"""

import base64
import concurrent.futures
import copy
import datetime
import json
import os
import re
import sys
import threading

import boto3
import botocore
import botocore.config
import botocore.exceptions
import botocore.session

CBOR = "smithy-rpc-v2-cbor"
OVERLAY = sys.argv[1] if len(sys.argv) > 1 else None


def model():
    loader = botocore.session.get_session().get_component("data_loader")
    version = loader.determine_latest_version("gamelift", "service-2")
    return version, loader.load_service_model("gamelift", "service-2")


def write_overlay():
    """The installed model with CBOR as its only protocol, in a folder for AWS_DATA_PATH."""
    version, service = model()
    if CBOR not in service["metadata"].get("protocols", []):
        return None
    service = copy.deepcopy(service)
    service["metadata"]["protocols"] = [CBOR]
    service["metadata"]["protocol"] = CBOR
    folder = os.path.join(OVERLAY, "gamelift", version)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "service-2.json"), "w") as f:
        json.dump(service, f)
    return OVERLAY


CLIENTS = {}
LOCK = threading.Lock()


def client(asked):
    service = asked.get("service", "gamelift")
    key = json.dumps([asked["endpoint"], asked["protocol"], asked.get("keys"), asked.get("unchecked"), service, asked.get("attempts")])
    with LOCK:
        if key in CLIENTS:
            return CLIENTS[key]
        session = botocore.session.Session()
        if asked["protocol"] == "cbor":
            session.get_component("data_loader").search_paths.insert(0, OVERLAY)
        access, secret, token = asked.get("keys") or ("AKIDCONFORMANCE", "secret", None)
        CLIENTS[key] = boto3.Session(botocore_session=session).client(
            service,
            region_name="us-west-2",
            endpoint_url=asked["endpoint"],
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=botocore.config.Config(
                retries={"mode": "standard", "total_max_attempts": asked["attempts"]} if asked.get("attempts") else {"max_attempts": 0},
                parameter_validation=not asked.get("unchecked"),
                max_pool_connections=32,
            ),
        )
        return CLIENTS[key]


def given(value):
    """A parameter as boto3 takes it."""
    if isinstance(value, dict):
        if set(value) == {"$ms"}:
            return datetime.datetime.fromtimestamp(value["$ms"] / 1000, datetime.timezone.utc)
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {k: given(v) for k, v in value.items()}
    if isinstance(value, list):
        return [given(v) for v in value]
    return value


EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)


def plain(value):
    if isinstance(value, datetime.datetime):
        micros = (value - EPOCH) // datetime.timedelta(microseconds=1)
        return {"$ms": micros // 1000 if micros % 1000 == 0 else micros / 1000}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def call(asked):
    c = client(asked)
    answer = getattr(c, botocore.xform_name(asked["op"]))(**given(asked.get("params") or {}))
    return {"result": plain(answer)}


def pages(asked):
    c = client(asked)
    calls = []
    paginator = c.get_paginator(botocore.xform_name(asked["op"]))
    inner = paginator._method

    def counted(**kwargs):
        calls.append({"NextToken": kwargs.get("NextToken"), "Limit": kwargs.get("Limit")})
        return inner(**kwargs)

    paginator._method = counted
    config = {k: v for k, v in asked["config"].items() if v is not None}
    iterator = paginator.paginate(PaginationConfig=config, **given(asked.get("params") or {}))
    key = paginator.result_keys[0].expression
    if "search" in asked:
        return {"found": plain(list(iterator.search(asked["search"]))), "calls": calls}
    if asked.get("full"):
        full = iterator.build_full_result()
        return {"pages": [plain(full.get(key, []))], "resume": full.get("NextToken"), "calls": calls}
    found = [plain(page[key]) for page in iterator]
    return {"pages": found, "resume": iterator.resume_token, "calls": calls}


def failed(asked, e):
    """How the exception looks to a caller."""
    if not isinstance(e, botocore.exceptions.ClientError):
        return {"error": {"code": "", "class": type(e).__name__, "message": str(e), "status": 0}}
    error = e.response.get("Error", {})
    classes = client(asked).exceptions
    code = error.get("Code", "")
    # What `except client.exceptions.X` catches.
    typed = ""
    try:
        if type(e) is getattr(classes, code):
            typed = code
    except AttributeError:
        pass
    return {
        "error": {
            "code": code,
            "class": typed,
            "message": error.get("Message", ""),
            "status": e.response["ResponseMetadata"]["HTTPStatusCode"],
            "request": e.response["ResponseMetadata"].get("RequestId", ""),
        }
    }


def shape_members(shape, path, seen, into):
    if shape is None:
        return
    if shape.type_name == "structure":
        if shape.name in seen:
            return
        for name, member in shape.members.items():
            into.append(".".join(path + [name]))
            shape_members(member, path + [name], seen | {shape.name}, into)
    elif shape.type_name == "list":
        shape_members(shape.member, path, seen, into)


def knows(_):
    """Every operation of the installed model, the members of its output, its exceptions."""
    session = botocore.session.get_session()
    service = session.get_service_model("gamelift")
    members, declared = {}, {}
    for name in service.operation_names:
        operation = service.operation_model(name)
        members[name] = []
        shape_members(operation.output_shape, [], frozenset(), members[name])
        declared[name] = [shape.name for shape in operation.error_shapes]
    return {"operations": members, "declared": declared}


def violations(_):
    """Requests that break one constraint of the installed model each."""
    session = botocore.session.get_session()
    service = session.get_service_model("gamelift")
    found = []
    for name in service.operation_names:
        shape = service.operation_model(name).input_shape
        if shape is not None:
            broken_members(name, shape, lambda v: v, "", 0, found)
    return {"violations": found}


def lower_first(name):
    return name[0].lower() + name[1:]


def broken_members(op, shape, wrap, path, depth, found):
    for name, member in shape.members.items():
        here = path + ("." if path else "") + lower_first(name)
        if name in shape.required_members:
            found.append({"op": op, "path": here, "says": "Member must not be null", "params": wrap({})})
        broken(op, member, lambda v, name=name: wrap({name: v}), here, depth, found)


def broken(op, shape, wrap, path, depth, found):
    """Adds the violations of one value; wrap puts a value at its place in the input."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")

    def add(value, says):
        found.append({"op": op, "path": path, "says": says, "params": wrap(value)})

    kind = shape.type_name
    if kind == "string":
        if least:
            add("a" * (least - 1), "Member must have length greater than or equal to %d" % least)
        if most is not None and most < 10000:
            add("a" * (most + 1), "Member must have length less than or equal to %d" % most)
        if shape.enum:
            add("Nonsense", "Member must satisfy enum value set")
        if "pattern" in shape.metadata:
            outside = not_matching(shape.metadata["pattern"], least or 0)
            if outside is not None:
                add(outside, "Member must satisfy regular expression pattern")
    elif kind in ("integer", "long", "float", "double"):
        if least is not None:
            add(least - 1, "Member must have value greater than or equal to %d" % least)
        if most is not None and most < 2**31 - 1:
            add(most + 1, "Member must have value less than or equal to %d" % most)
    elif kind == "list":
        item = "a" if shape.member.type_name == "string" else {}
        if least:
            add([item] * (least - 1), "Member must have length greater than or equal to %d" % least)
        if most is not None and most <= 1000:
            add([item] * (most + 1), "Member must have length less than or equal to %d" % most)
        if depth < 4 and shape.member.type_name == "structure":
            broken_members(op, shape.member, lambda v: wrap([v]), path + ".1.member", depth + 1, found)
    elif kind == "structure" and depth < 4:
        broken_members(op, shape, wrap, path, depth + 1, found)


def not_matching(pattern, least):
    """A text that the whole of a pattern does not match, or None."""
    try:
        whole = re.compile("(?:%s)" % pattern)
    except re.error:
        return None
    for text in ("a!\u00e9", " ", "\u0001", "-", "a", "1"):
        text = text * max(1, -(-least // len(text)))
        if not whole.fullmatch(text):
            return text
    return None


DO = {"call": call, "pages": pages, "knows": knows, "violations": violations}
OUT = threading.Lock()


def answer(asked):
    try:
        replied = DO[asked["do"]](asked)
    except Exception as e:  # every failure is an answer
        replied = failed(asked, e)
    replied["id"] = asked["id"]
    with OUT:
        print(json.dumps(replied), flush=True)


def main():
    hello = {"client": "boto3 %s" % boto3.__version__, "cbor": bool(OVERLAY and write_overlay())}
    print(json.dumps(hello), flush=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for line in sys.stdin:
            pool.submit(answer, json.loads(line))


main()
