#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# curl asks the Asio example's server, which runs on a tapir stack of its own behind a TAP interface, in a network namespace of this
# script's.  usage: asio_http.sh ASIO_HTTP_SERVER.  Exit 77: no namespace, TAP or curl to be had here.
set -euo pipefail
server="$1"
if [[ "${2-}" != inside ]]; then
  command -v curl >/dev/null && command -v ip >/dev/null || { echo "skipped: no curl or ip"; exit 77; }
  [[ -w /dev/net/tun ]] || { echo "skipped: no /dev/net/tun"; exit 77; }
  if unshare -n true 2>/dev/null; then exec unshare -n "$0" "$server" inside; fi
  if unshare -Urn true 2>/dev/null; then exec unshare -Urn "$0" "$server" inside; fi
  echo "skipped: no network namespace"
  exit 77
fi

folder="$(mktemp -d)"
pid=
trap 'if [[ -n "$pid" ]]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$folder"' EXIT
fail() { echo "FAILED: $*"; cat "$folder/server"; exit 1; }

ip link set lo up
"$server" tap0 10.66.0.1/24 8080 >"$folder/server" 2>&1 &
pid=$!
for _ in $(seq 100); do
  grep -q '^serving' "$folder/server" && break
  kill -0 "$pid" 2>/dev/null || fail "the server has ended"
  sleep 0.05
done
ip addr add 10.66.0.2/24 dev tap0
ip link set tap0 up

ask() { curl --silent --show-error --fail --max-time 20 --noproxy '*' "$@"; }
url=http://10.66.0.1:8080
[[ "$(ask "$url/page")" == "You asked for /page, and tapir answers." ]] || fail "one page"
# Two on one connection, then eight at once.
[[ "$(ask "$url/a" "$url/b" | wc -l)" == 2 ]] || fail "two pages on a connection"
[[ "$(ask --verbose "$url/a" "$url/b" 2>&1 | grep -c 'Re-using existing connection')" == 1 ]] || fail "the connection is kept"
size=$((8 << 20))
for i in 1 2 3 4 5 6 7 8; do ask -o "$folder/big$i" "$url/big/$size" & asking[i]=$!; done
for i in 1 2 3 4 5 6 7 8; do wait "${asking[i]}" || fail "download $i"; done
for i in 1 2 3 4 5 6 7 8; do [[ "$(stat -c %s "$folder/big$i")" == "$size" ]] || fail "download $i is short"; done
[[ "$(curl --silent --max-time 20 --noproxy '*' -o /dev/null -w '%{http_code}' -X POST -d x "$url/")" == 405 ]] || fail "POST"
kill -0 "$pid" || fail "the server has ended"
echo "asked 12 times, all answered"
