#!/bin/sh
# Lists the players of a game session with the AWS CLI, which pages by itself.
#
#   export AWS_ENDPOINT_URL_GAMELIFT=http://127.0.0.1:9170 AWS_REGION=us-west-2
#   export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
#   ./players.sh GAME_SESSION_ID [--page-size 100] [--player-session-status-filter ACTIVE]
#
# To read a listing in parts, leave --query and --output away: with --max-items the
# answer has a NextToken for --starting-token of the next call.
set -eu

if [ $# -eq 0 ]; then
  echo "usage: players.sh GAME_SESSION_ID [options of describe-player-sessions]" >&2
  exit 2
fi
session=$1
shift

# AWS CLI 1 knows the region as AWS_DEFAULT_REGION only.
export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-${AWS_REGION:-}}"

exec aws gamelift describe-player-sessions --game-session-id "$session" "$@" \
  --query 'PlayerSessions[].[PlayerSessionId, PlayerId, Status, IpAddress, Port]' --output text
