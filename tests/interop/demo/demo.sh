#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs `tapir demo` over one wire: exit 0 when every check held, 77 (skipped) when this machine cannot have the wire.
# usage: demo.sh TAPIR tap|packet|memory
set -euo pipefail
tapir="$1" wire="$2"

skip() { echo "skipped: $*"; exit 77; }
can_unshare() { unshare -n true 2>/dev/null || unshare -Urn true 2>/dev/null; }

if [[ "$wire" != memory ]]; then
  can_unshare || skip "no network namespace can be made here"
fi
if [[ "$wire" == tap ]]; then
  [[ -r /dev/net/tun && -w /dev/net/tun ]] || skip "/dev/net/tun is not there, or not for this user"
fi

began=$SECONDS
"$tapir" demo --over "$wire" --bulk 50MB
if ((SECONDS - began >= 20)); then
  echo "the demo took $((SECONDS - began)) s; it must take under 20"
  exit 1
fi
