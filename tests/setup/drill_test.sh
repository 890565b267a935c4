#!/usr/bin/env bash
# helium drill on a real fleet: three rounds with its own group, and what a drill that was killed leaves behind.
#
# Needs HELIUM_SERVERS (helium, kine-shim, helium-apiserver, helium-agent) and HELIUM_BIN (tests/build.sh kubernetes).
set -euo pipefail
# shellcheck source=tests/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

: "${HELIUM_SERVERS:?folder with helium, kine-shim, helium-apiserver and helium-agent}" "${HELIUM_BIN:?folder with kube-apiserver}"

setup() { "$ROOT/setup.sh" --processes --drill --state-dir "$T/state" --port-base 19400 "$@"; }
kube() { "$HELIUM_BIN/kubectl" --kubeconfig "$T/state/kubeconfig/$1" "${@:2}"; }
drill() { "$HELIUM_SERVERS/helium" drill "$1" --fleet "$T/state" "${@:2}"; }

# stop_all: whatever happens to the test, nothing keeps running.
stop_all() {
	[ -z "${DRILL_PID:-}" ] || kill -KILL "$DRILL_PID" 2>/dev/null || true
	[ ! -d "$T/state" ] || setup --down >/dev/null 2>&1 || true
}

# whole: every part runs, and every link carries.
whole() {
	drill parts >"$T/parts"
	! grep -qE ' (ended|stopped|drop|drop-up|drop-down|refuse|unknown)$' "$T/parts" || fail "not whole: $(cat "$T/parts")"
}

# nothing_left: the drill's own group is gone from every cluster.
nothing_left() {
	local name left
	for name in cluster1 cluster2 cluster3; do
		left=$(kube "$name" get multiclusters,failovergroups,leases.coordination.helium.dev -n helium-drill -o name)
		equal '' "$left" "what is left in $name"
		left=$(kube "$name" get configmaps -n helium-drill -l helium.dev/failover-group -o name)
		equal '' "$left" "payload that is left in $name"
	done
}

# struck: the drill has begun to break something.
struck() { drill parts | grep -q ' ended$'; }

test_a_fleet_is_drilled_and_healed() {
	local name tries=0
	trap stop_all EXIT
	exits 0 setup --no-demo
	kube cluster1 apply -f "$ROOT/manifests/failover/definition.yaml" >/dev/null
	kube cluster1 wait --for=condition=Registered sharedresourcedefinition/multiclusters.kube-vip.io --timeout=90s >/dev/null
	for name in cluster1 cluster2 cluster3; do
		for ((tries = 0; tries < 60; tries++)); do
			kube "$name" get multiclusters -A >/dev/null 2>&1 && break
			sleep 0.5
		done
		kube "$name" get multiclusters -A >/dev/null
	done
	whole

	# Times are the machine's; with others' tests beside it, it keeps them less well.
	exits 0 drill run --rounds 3 --seed 1 --lease-seconds 10 --takeover-margin 5 --svg "$T/drill.svg" --history "$T/history.json"
	cp "$T/out" "$T/report"
	contains "Every promise that was put to the test was kept." "$T/report"
	contains "seed 1" "$T/report"
	grep -qE '^kept +afterwards exactly one leads' "$T/report" || fail "it doesn't say that it recovers: $(cat "$T/report")"
	contains "<svg" "$T/drill.svg"
	whole
	nothing_left
	# What was seen can be judged again, with the same outcome.
	exits 0 drill_judge

	# Killed in the middle, it heals nothing itself.
	: >"$T/killed"
	# Not by way of the function: its shell would be killed, and the drill go on.
	"$HELIUM_SERVERS/helium" drill run --fleet "$T/state" --rounds 1 --seed 2 --scenario kill-agent >>"$T/killed" 2>&1 &
	DRILL_PID=$!
	until struck; do
		tries=$((tries + 1))
		[ $tries -lt 900 ] || fail "nothing is broken: $(cat "$T/killed")"
		sleep 0.1
	done
	kill -KILL "$DRILL_PID"
	wait "$DRILL_PID" 2>/dev/null || true
	exits 1 drill run --rounds 1
	exits 0 drill heal
	whole
	nothing_left
	exits 0 setup --status
}

drill_judge() { "$HELIUM_SERVERS/helium" drill judge "$T/history.json"; }

run_tests
