#!/bin/sh
# The users that the units run as.
set -e
for user in matchyard matchyard-agent; do
  getent passwd "$user" >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
done
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi
