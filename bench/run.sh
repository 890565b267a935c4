#!/usr/bin/env bash
# Builds what is missing, starts etcd, kine and kine-shim on this machine and
# prints how they compare. Arguments go to the suite:
#
#   bench/run.sh                                       everything, about 20 minutes
#   bench/run.sh --cells create,get --clients 64       some of it
#   bench/run.sh --systems etcd,shim-sqlite -o markdown --json result.json
#   bench/run.sh leases                                renewals of 1,000 clusters' leases on three helium-apiservers,
#                                                      beside a real kube-apiserver: five minutes
#   bench/run.sh failover                              hand-overs and crashes of a payload, 100 times each by six causes: an
#                                                      hour; E2E_TIMES=10 for six minutes. Writes docs/reports/failover-times.*
set -euo pipefail

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")

program=suite components="etcd kine" servers="-p kine-shim"
if [ "${1:-}" = leases ]; then
	shift
	program=leases components="etcd kubernetes" servers="-p kine-shim -p helium-apiserver"
fi
if [ "${1:-}" = failover ]; then
	shift
	program=failover components="etcd kubernetes" servers="-p kine-shim -p helium-apiserver -p helium-controllers -p helium-cli"
fi
# shellcheck disable=SC2086 # several words each
"$root/tests/build.sh" $components
if [ -z "${HELIUM_SERVERS:-}" ]; then
	# shellcheck disable=SC2086
	(cd "$root" && cargo build --release -q $servers)
fi
if [ "$program" = failover ]; then
	cd "$root/tests/kubernetes"
	export E2E_FAILOVER=1 E2E_TIMES="${E2E_TIMES:-100}" E2E_REPORTS="${E2E_REPORTS:-$root/docs/reports}"
	export HELIUM_SERVERS="${HELIUM_SERVERS:-${CARGO_TARGET_DIR:-$root/target}/release}"
	CGO_ENABLED=0 exec go test -count=1 -timeout 4h -v -run '^TestFailoverTimes$' ./e2e "$@"
fi
cd "$bench"
CGO_ENABLED=0 exec go run "./$program" "$@"
