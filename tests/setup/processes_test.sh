#!/usr/bin/env bash
# setup.sh --processes from beginning to end, with real servers: up with the demonstration, up again, what survives a
# killed server, the checks of ./manifests on one of the clusters, status, down.
#
# Needs HELIUM_SERVERS (helium, kine-shim, helium-apiserver, helium-agent) and HELIUM_BIN (tests/build.sh kubernetes).
set -euo pipefail
# shellcheck source=tests/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup/process.sh
. "$ROOT/scripts/setup/process.sh"

: "${HELIUM_SERVERS:?folder with helium, kine-shim, helium-apiserver and helium-agent}" "${HELIUM_BIN:?folder with kube-apiserver}"

setup() { HOME=$T/home KUBECONFIG=$T/home/of-a-person "$ROOT/setup.sh" --processes --state-dir "$T/state" "$@"; }
kube() { "$HELIUM_BIN/kubectl" --kubeconfig "$T/state/kubeconfig/$1" "${@:2}"; }

# processes_of: the ids of everything that was started.
processes_of() { cut -d' ' -f1 "$T"/state/run/*; }

# stop_all: whatever happens to the test, nothing keeps running.
stop_all() { [ ! -d "$T/state" ] || setup --down >/dev/null 2>&1 || true; }

test_processes_from_beginning_to_end() {
	local name
	trap stop_all EXIT
	mkdir "$T/home"
	exits 1 setup --status
	contains "nothing was made" "$T/out"

	exits 0 setup
	cp "$T/out" "$T/up"
	contains "one uid and one resourceVersion in all" "$T/up"
	contains "is refused: Conflict" "$T/up"
	contains "never two at once" "$T/up"
	contains "is back, with the same objects" "$T/up"
	contains "the payload runs in cluster2, and there alone" "$T/up"
	contains "✓ cluster1 leads default/webfront with token" "$T/up"
	contains "both members are deleted, and with them the payload" "$T/up"
	for name in cluster1 cluster2 cluster3; do grep -qE "$name +member +True +True +True" "$T/up" || fail "$name is no member that is well: $(cat "$T/up")"; done
	contains "Nothing is wrong." "$T/up"
	contains '"result":"succeeded"' "$T/state/report.json"
	contains '"name":"leader moved after its cluster was killed"' "$T/state/report.json"
	equal 14 "$(grep -o '"step":' "$T/state/report.json" | wc -l)" "steps in the report"
	equal "" "$(find "$T/home" -mindepth 1)" "files in the home directory"
	no_secret_in_arguments

	# A second run leaves everything as it is.
	processes_of >"$T/before"
	exits 0 setup
	absent '"result":"done"' "$T/state/report.json"
	contains "was shown already" "$T/out"
	processes_of >"$T/after"
	cmp "$T/before" "$T/after" || fail "the second run restarted something"

	# One that was killed is started again, and nothing else.
	kill -KILL "$(cut -d' ' -f1 "$T/state/run/cluster2-helium-apiserver")"
	exits 1 setup --status
	grep -qE '^cluster2-helium-apiserver +down' "$T/out" || fail "status doesn't show it: $(cat "$T/out")"
	exits 0 setup
	exits 0 setup --status
	processes_of >"$T/after"
	equal 1 "$(diff "$T/before" "$T/after" | grep -c '^>')" "restarted servers"
	kube cluster2 get festivals -n default candlemas >/dev/null || fail "cluster2 doesn't show the festival"

	# The objects are still those of the first run, for the demonstration can be seen again.
	exits 0 setup --demo
	contains "never two at once" "$T/out"

	manifests

	cat "$T"/state/run/* >"$T/running"
	exits 0 setup --down
	[ ! -e "$T/state" ] || fail "left: $(ls -A "$T/state")"
	local pid birth
	# By its time of birth: one that has ended may be listed until its parent asks, and its number may be another's.
	while read -r pid birth; do
		[ "$(process_birth "$pid")" != "$birth" ] || fail "process $pid still runs: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done <"$T/running"
	exits 0 setup --down
	contains "nothing was made" "$T/out"
}

no_secret_in_arguments() {
	local secret pid arguments name passwords=()
	passwords=("$(cat "$T/state/secrets/postgres")")
	for name in cluster1 cluster2 cluster3; do
		passwords+=("$(sed -E 's|^postgres://[^:]*:([^@]*)@.*|\1|' "$T/state/clusters/$name/fleet/endpoint")")
	done
	for secret in "${passwords[@]}"; do
		for pid in $(processes_of); do
			arguments=$(tr '\0' ' ' <"/proc/$pid/cmdline")
			[ -n "$arguments" ] || fail "process $pid has no arguments to look at"
			[[ $arguments != *"$secret"* ]] || fail "a password is an argument of process $pid"
		done
		! grep -rqF "$secret" "$T/state/logs" || fail "a password is in a log"
		absent "$secret" "$T/up"
	done
}

manifests() {
	local port
	port=$(cat "$T/state/port-base")
	(
		cd "$HERE/manifests"
		SETUP_KUBECONFIG=$T/state/kubeconfig/cluster3 SETUP_HOST_KUBECONFIG=$T/state/clusters/cluster3/helium-apiserver.kubeconfig \
			SETUP_DATABASE="host=127.0.0.1 port=$port user=postgres dbname=postgres passfile=$T/state/secrets/pgpass" \
			go test -count=1 -timeout 5m .
	) >"$T/manifests" 2>&1 || fail "$(cat "$T/manifests")"
}

run_tests
