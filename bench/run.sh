#!/usr/bin/env bash
# Builds what is missing, starts etcd, kine and kine-shim on this machine and
# prints how they compare. Arguments go to the suite:
#
#   bench/run.sh                                       everything, about 20 minutes
#   bench/run.sh --cells create,get --clients 64       some of it
#   bench/run.sh --systems etcd,shim-sqlite -o markdown --json result.json
set -euo pipefail

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")

"$root/tests/build.sh" etcd kine
if [ -z "${HELIUM_SERVERS:-}" ]; then
	(cd "$root" && cargo build --release -q -p kine-shim)
fi
cd "$bench"
CGO_ENABLED=0 exec go run ./suite "$@"
