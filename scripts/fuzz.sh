#!/usr/bin/env bash
# Runs every fuzz target of the module for a number of seconds (20 unless told).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
grep -rlE '^func Fuzz[A-Za-z0-9_]+\(f \*testing\.F\)' --include='*_test.go' . | sort | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/^func //' | while read -r target; do
    echo "fuzz ${file%/*} $target"
    go test -run='^$' -fuzz="^$target\$" -fuzztime="${seconds}s" -fuzzminimizetime=20x "${file%/*}"
  done
done
