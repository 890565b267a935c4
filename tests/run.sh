#!/usr/bin/env bash
# Runs the tests against real components: etcd's own judges and etcdctl against kine-shim, and three
# real Kubernetes clusters that share APIs.
#
#   tests/run.sh [etcd] [kubernetes]      (both without arguments)
#
# kine-shim and helium-apiserver come from target/debug, or from $HELIUM_SERVERS; the real components from
# $HELIUM_BIN, where tests/build.sh puts them (default .cache/bin). Each test starts its own servers on free
# loopback ports; when one fails, the folder with all logs is printed and kept.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tests")
export CGO_ENABLED=0 # none of the tests needs a C compiler

if [ -z "${HELIUM_SERVERS:-}" ]; then
	(cd "$root" && cargo build -p kine-shim -p helium-apiserver -p helium-controllers -p helium-cli)
fi

run() { # run MODULE TIMEOUT PACKAGE…
	local module=$1 timeout=$2
	shift 2
	"$tests/build.sh" "$module"
	(cd "$tests/$module" && go vet ./... && go test -count=1 -timeout "$timeout" "$@")
}

run_etcd() {
	run etcd 15m ./...
	# The comparison with a real etcd once more, on the other database.
	(cd "$tests/etcd" && SMOKE_DATABASE=postgres go test -count=1 -short -timeout 5m ./smoke)
	# Older clients: the same tests, built with their releases.
	local modfile
	for modfile in go.mod v3.5.mod; do
		(cd "$tests/etcd/compat" && go test -count=1 -timeout 5m -modfile="$modfile" .)
	done
}

run_kubernetes() {
	run kubernetes 30m ./...
	# With the stores exchanged: ours below the kube-apiservers, a real etcd below helium-apiserver.
	(cd "$tests/kubernetes" && E2E_STORE=etcd E2E_HOST_STORE=shim \
		go test -count=1 -timeout 20m -run 'Written|Concurrent|Namespace|Owner' ./e2e)
	# Elections while everything breaks, in clusters whose ways can be cut: 20 faults take three minutes, the
	# 200 of HELIUM_TEST_FULL=1 half an hour.
	"$tests/build.sh" programs
	(cd "$tests/kubernetes" && E2E_LINKS=1 go test -count=1 -timeout 60m -run OneLeaderWhateverHappens ./e2e)
	# Failover, with agents and nodes: the scenarios, and 40 faults in five minutes; the 500 of HELIUM_TEST_FULL=1 take an hour.
	(cd "$tests/kubernetes" && E2E_FAILOVER=1 go test -count=1 -timeout 120m -run Failover ./e2e)
}

for name in "${@:-all}"; do
	case $name in
	all)
		run_etcd
		run_kubernetes
		(cd "$root/bench" && go vet ./... && go test -count=1 ./...)
		;;
	etcd) run_etcd ;;
	kubernetes) run_kubernetes ;;
	*)
		echo "tests/run.sh: unknown part '$name': expected etcd or kubernetes" >&2
		exit 2
		;;
	esac
done
