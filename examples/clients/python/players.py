#!/usr/bin/env python3
"""Lists the players of a game session with boto3's paginator.

    pip install -r requirements.txt
    export AWS_ENDPOINT_URL_GAMELIFT=http://127.0.0.1:9170 AWS_DEFAULT_REGION=us-west-2
    export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
    ./players.py GAME_SESSION_ID --page-size 100 --max-items 250
"""

import argparse

import boto3


def main():
    args = arguments()
    # boto3 reads the endpoint, the region and the credentials from the environment.
    client = boto3.client("gamelift")

    request = {"GameSessionId": args.game_session_id}
    if args.status:
        request["PlayerSessionStatusFilter"] = args.status
    pages = client.get_paginator("describe_player_sessions").paginate(
        **request,
        PaginationConfig={
            "PageSize": args.page_size,
            "MaxItems": args.max_items,
            "StartingToken": args.starting_token,
        },
    )
    for page in pages:
        for player in page["PlayerSessions"]:
            print(
                player["PlayerSessionId"],
                player["PlayerId"],
                player["Status"],
                player["IpAddress"],
                player["Port"],
                sep="\t",
            )
    if pages.resume_token:
        print("next", pages.resume_token, sep="\t")


def arguments():
    parser = argparse.ArgumentParser(description="List the players of a game session.")
    parser.add_argument("game_session_id")
    parser.add_argument("--status", choices=["RESERVED", "ACTIVE", "COMPLETED", "TIMEDOUT"])
    parser.add_argument("--page-size", type=int, help="players in one answer of the server")
    parser.add_argument("--max-items", type=int, help="players in all; the rest is behind the next token")
    parser.add_argument("--starting-token", help="what an earlier run printed after next")
    return parser.parse_args()


if __name__ == "__main__":
    main()
