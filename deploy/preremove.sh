#!/bin/sh
# Stops the services when the package goes for good, not when a newer one takes its place:
# when the new program starts is the operator's to say. Games go on without the agent.
set -e
case "$1" in
  remove | 0)
    if [ -d /run/systemd/system ]; then
      systemctl disable --now matchyard.service matchyard-agent.service || true
    fi
    ;;
esac
