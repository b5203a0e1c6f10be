#!/bin/sh
# The users that the units run as, and what they may read.
set -e
for user in matchyard matchyard-agent; do
  getent passwd "$user" >/dev/null || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$user"
done
chgrp matchyard /etc/matchyard/matchyard.yaml
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi
