#!/usr/bin/env bash
# Starts `matchyard dev` for a workflow's later steps, and tells them where it is. It ends
# with the job. The environment is that of action.yml.
set -euo pipefail
folder=${RUNNER_TEMP:?}/matchyard
log=$folder/log
mkdir -p "$folder"
region=${INPUT_REGION:-${AWS_REGION:-${AWS_DEFAULT_REGION:-us-west-2}}}
read -ra more <<<"${INPUT_ARGS:-}"

fail() {
  echo "::error title=Matchyard::$1"
  echo "::group::The server's log"
  cat "$log"
  echo "::endgroup::"
  exit 1
}

# In a nohup, since the shell of this step ends and the server goes on.
nohup "$folder/bin/matchyard" dev --ephemeral --region "$region" --listen "${INPUT_LISTEN:-127.0.0.1:9170}" \
  --admin "${INPUT_ADMIN:-127.0.0.1:9171}" ${more[@]+"${more[@]}"} >"$folder/out" 2>"$log" </dev/null &
echo $! >"$folder/pid"

ready=
for ((i = 0; i < 300; i++)); do
  if ready=$(grep -m 1 '^ready ' "$folder/out"); then break; fi
  kill -0 "$(cat "$folder/pid")" 2>/dev/null || fail "The server ended at its start"
  sleep 0.1
done
[ -n "$ready" ] || fail "The server was not ready within 30 seconds"
echo "$ready"

value() { # value KEY: what the ready line says after KEY=
  sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$ready"
}
url=$(cut -d' ' -f2 <<<"$ready")

{
  echo "url=$url"
  echo "websocket-url=$(value sdk)"
  echo "admin-url=$(value admin)"
  echo "log=$log"
} >>"$GITHUB_OUTPUT"

{
  echo "AWS_ENDPOINT_URL_GAMELIFT=$url"
  echo "AWS_REGION=$region"
  echo "AWS_DEFAULT_REGION=$region"
  echo "GAMELIFT_SDK_WEBSOCKET_URL=$(value sdk)"
  echo "MATCHYARD_LOG=$log"
  # Any key will do. Those that the job has for Amazon are left alone.
  if [ -z "${AWS_ACCESS_KEY_ID:-}" ]; then
    echo "AWS_ACCESS_KEY_ID=any"
    echo "AWS_SECRET_ACCESS_KEY=any"
  fi
} >>"$GITHUB_ENV"
