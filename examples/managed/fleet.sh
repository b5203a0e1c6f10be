#!/usr/bin/env bash
# A managed fleet from its build to the log of a game, with the AWS CLI as it is:
#
#   make build && bin/matchyard dev &
#   examples/managed/fleet.sh
#
# Against another server: SERVER=http://HOST:9170 and the AWS_ variables of a key.
set -euo pipefail
cd "$(dirname "$0")/../.."
SERVER=${SERVER:-http://127.0.0.1:9170}
GAMESERVER=${GAMESERVER:-bin/gameserver}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export AWS_ENDPOINT_URL_GAMELIFT=$SERVER AWS_ENDPOINT_URL_S3=$SERVER # upload-build sends the build to S3
export AWS_REGION=${AWS_REGION:-us-west-2}
export AWS_DEFAULT_REGION=$AWS_REGION AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-development} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-development}
export AWS_PAGER=
gamelift() { aws gamelift "$@"; }
say() { printf '%6.2f s  %s\n' "$(bc <<<"$(date +%s.%N) - $begin")" "$*"; }

mkdir "$work/build"
cp "$GAMESERVER" "$work/build/gameserver"
begin=$(date +%s.%N)
gamelift upload-build --name arena --build-version 1 --build-root "$work/build" --operating-system AMAZON_LINUX_2023 --server-sdk-version 5.5.0 >"$work/upload"
build=$(grep -o 'build-[0-9a-f-]*' "$work/upload" | head -1)
say "uploaded $build"
begin=$(date +%s.%N)

fleet=$(gamelift create-fleet --name arena --build-id "$build" --ec2-instance-type c5.large \
  --runtime-configuration 'ServerProcesses=[{LaunchPath=/local/game/gameserver,Parameters="-port {port} -logs /local/game/logs -end-when-empty",ConcurrentExecutions=2}]' \
  --ec2-inbound-permissions FromPort=20000,ToPort=30000,IpRange=0.0.0.0/0,Protocol=TCP --query FleetAttributes.FleetId --output text)
say "created $fleet"
state=
until [ "$state" = ACTIVE ]; do
  state=$(gamelift describe-fleet-attributes --fleet-ids "$fleet" --query 'FleetAttributes[0].Status' --output text)
  case $state in ERROR | None)
    gamelift describe-fleet-events --fleet-id "$fleet" --query 'Events[].[EventCode,Message]' --output text >&2
    exit 1
    ;;
  esac
done
say "the fleet is ACTIVE"

session=$(gamelift create-game-session --fleet-id "$fleet" --maximum-player-session-count 4 --query GameSession.GameSessionId --output text)
until [ "$(gamelift describe-game-sessions --game-session-id "$session" --query 'GameSessions[0].Status' --output text)" = ACTIVE ]; do sleep 0.1; done
say "the game session is ACTIVE"

read -r player ip port < <(gamelift create-player-session --game-session-id "$session" --player-id ann --query 'PlayerSession.[PlayerSessionId,IpAddress,Port]' --output text)
exec 3<>"/dev/tcp/$ip/$port"
printf 'JOIN %s\n' "$player" >&3
read -r -t 5 welcome <&3
say "ann is in at $ip:$port: $welcome"
printf 'hello\n' >&3
exec 3>&-
until [ "$(gamelift describe-game-sessions --game-session-id "$session" --query 'GameSessions[0].Status' --output text)" = TERMINATED ]; do sleep 0.1; done
say "the game is over"

for _ in $(seq 100); do
  if gamelift get-game-session-log --game-session-id "$session" --save-as "$work/log.zip" >/dev/null 2>&1; then break; fi
  sleep 0.1
done
say "its log:"
unzip -p "$work/log.zip"
gamelift delete-fleet --fleet-id "$fleet"
say "deleted the fleet"
