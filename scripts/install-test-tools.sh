#!/usr/bin/env bash
# Finds or installs the clients and the database that the tests talk to: python3 with boto3,
# the AWS CLI, Node with @aws-sdk/client-gamelift, PostgreSQL, Prometheus. Run again it changes nothing.
#
# Only Debian's packages and npm are used, through the machine's own apt-get and npm. What
# cannot be had is named on a line "MISSING …". Tests that need it then skip and say so;
# with CI or MATCHYARD_REQUIRE_CLIENTS set, this script and those tests fail instead.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0
miss() {
  echo "MISSING $1" >&2
  missing=1
}

updated=
debian() { # debian PACKAGE…: installs packages, false where that is impossible
  command -v apt-get >/dev/null || return 1
  local sudo=
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || return 1
    sudo=sudo
  fi
  if [ -z "$updated" ]; then
    $sudo apt-get update -qq || return 1
    updated=1
  fi
  echo "installing $*"
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The tests look in the same places, in the same order.
python_with_boto3() {
  local p
  for p in "${PYTHON:-}" python3 python /usr/bin/python3; do
    if [ -n "$p" ] && "$p" -c 'import boto3, botocore, jmespath' 2>/dev/null; then
      command -v "$p"
      return
    fi
  done
  return 1
}

if ! python=$(python_with_boto3); then
  debian python3 python3-boto3 || true
  python=$(python_with_boto3) || python=
fi
if [ -n "$python" ]; then
  echo "boto3       $("$python" -c 'import boto3, botocore; print(boto3.__version__, "botocore", botocore.__version__)') ($python)"
else
  miss "boto3: tests with boto3 do not run (pip install boto3, or set PYTHON)"
fi

# A shim of a version manager may exist without a program behind it, so it is run.
aws_cli() { aws --version 2>/dev/null || /usr/bin/aws --version 2>/dev/null; }
aws_cli >/dev/null || debian awscli || true
if version=$(aws_cli); then
  echo "AWS CLI     ${version%% Python*}"
else
  miss "AWS CLI: tests with the AWS CLI do not run"
fi

# The JavaScript SDK goes beside the sources, not into them: .cache is not committed.
node_major() { node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }
if [ "$(node_major)" -lt 18 ] || ! command -v npm >/dev/null; then
  debian nodejs npm || true
fi
wanted=examples/clients/javascript/package.json
if [ "$(node_major)" -ge 18 ] && command -v npm >/dev/null; then
  mkdir -p .cache/node
  if ! cmp -s "$wanted" .cache/node/installed.json; then
    cp "$wanted" .cache/node/package.json
    if npm install --prefix .cache/node --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null; then
      cp "$wanted" .cache/node/installed.json
    fi
  fi
  if version=$(node -p 'require("./.cache/node/node_modules/@aws-sdk/client-gamelift/package.json").version' 2>/dev/null); then
    echo "JavaScript  @aws-sdk/client-gamelift $version, node $(node --version)"
  else
    miss "@aws-sdk/client-gamelift: npm could not install it; tests with JavaScript do not run"
  fi
  wanted=conformance/drivers/package.json
  mkdir -p .cache/node-s3
  if ! cmp -s "$wanted" .cache/node-s3/installed.json; then
    cp "$wanted" .cache/node-s3/package.json
    if npm install --prefix .cache/node-s3 --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null; then
      cp "$wanted" .cache/node-s3/installed.json
    fi
  fi
  if version=$(node -p 'require("./.cache/node-s3/node_modules/@aws-sdk/client-s3/package.json").version' 2>/dev/null); then
    echo "JavaScript  @aws-sdk/client-s3 $version"
  else
    miss "@aws-sdk/client-s3: npm could not install it; uploads with JavaScript are not tested"
  fi
else
  miss "node 18 or newer with npm: tests with JavaScript do not run"
fi

postgres() {
  local p
  for p in /usr/lib/postgresql/*/bin/postgres "$(command -v postgres || true)"; do
    if [ -x "$p" ]; then
      "$p" --version
      return
    fi
  done
  return 1
}
if [ -n "${MATCHYARD_TEST_POSTGRES:-}" ]; then
  echo "PostgreSQL  as MATCHYARD_TEST_POSTGRES says"
else
  postgres >/dev/null || debian postgresql || true
  if version=$(postgres); then
    echo "PostgreSQL  $version"
  else
    miss "PostgreSQL: tests on it fail (install it, or set MATCHYARD_TEST_POSTGRES)"
  fi
fi

# Prometheus and its promtool check the dashboard and the alerts of deploy/.
command -v promtool >/dev/null || debian prometheus || true
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
  echo "Prometheus  $(promtool --version 2>&1 | head -1)"
else
  miss "prometheus: the dashboard and the alerts are not checked"
fi

# A browser looks at the console.
browser() { command -v "${CHROMIUM:-chromium}" || command -v google-chrome; }
browser >/dev/null || debian chromium fonts-dejavu-core || true
if browser >/dev/null; then
  echo "Chromium    $(browser)"
else
  miss "chromium: the console is not looked at (install it, or set CHROMIUM)"
fi

# The shells that completion is for, beside bash.
for shell in zsh fish; do
  command -v "$shell" >/dev/null || debian "$shell" || true
  if command -v "$shell" >/dev/null; then
    echo "$shell         $("$shell" --version | head -1)"
  else
    miss "$shell: its completion is not tested"
  fi
done

if [ "$missing" = 1 ] && [ -n "${CI:-}${MATCHYARD_REQUIRE_CLIENTS:-}" ]; then
  echo "tools are missing and CI or MATCHYARD_REQUIRE_CLIENTS is set" >&2
  exit 1
fi
