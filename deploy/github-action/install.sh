#!/usr/bin/env bash
# Puts matchyard into the PATH of a workflow's later steps: a release, or what the source
# beside this script makes. The environment is that of action.yml.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
releases=${MATCHYARD_RELEASES:-https://github.com/matchyard/matchyard/releases/download}
bin=${RUNNER_TEMP:?}/matchyard/bin
mkdir -p "$bin"

fail() {
  echo "::error title=Matchyard::$1"
  exit 1
}

download() { # download VERSION: the archive of this system, as checksums.txt has it
  local version=${1#v} system machine archive
  case $(uname -s) in
    Linux) system=linux ;;
    Darwin) system=darwin ;;
    *) fail "There is no release for $(uname -s) that this action installs; use a Linux or macOS runner" ;;
  esac
  case $(uname -m) in
    x86_64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) fail "There is no release for $(uname -m)" ;;
  esac
  archive=matchyard_${version}_${system}_${machine}.tar.gz
  cd "${RUNNER_TEMP}/matchyard"
  curl -fsSL --retry 3 -o checksums.txt "$releases/v$version/checksums.txt" || fail "There is no release v$version"
  curl -fsSL --retry 3 -o "$archive" "$releases/v$version/$archive" || fail "Release v$version has no $archive"
  local sum=sha256sum
  command -v sha256sum >/dev/null || sum="shasum -a 256"
  grep " $archive\$" checksums.txt | $sum -c - || fail "$archive is not what checksums.txt says"
  tar -xzf "$archive" -C "$bin" matchyard
}

version=${INPUT_VERSION:-}
if [ -z "$version" ]; then
  version=source
  if [[ ${ACTION_REF:-} =~ ^v[0-9]+\.[0-9]+\.[0-9]+ ]]; then version=$ACTION_REF; fi
fi
if [ "$version" = source ]; then
  command -v go >/dev/null || fail "Building from source needs Go: use actions/setup-go before this action, or give it a version"
  # The console needs npm, and a test has no use for it.
  CGO_ENABLED=0 go build -C "$source" -trimpath -ldflags "-s -w -X main.version=${ACTION_REF:-source}" -o "$bin/matchyard" ./cmd/matchyard
else
  download "$version"
fi
"$bin/matchyard" version
echo "$bin" >>"$GITHUB_PATH"
