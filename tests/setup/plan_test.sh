#!/usr/bin/env bash
# The plans that setup.sh --dry-run prints, word by word, against golden/. UPDATE=1 writes them anew: then read the
# difference.
set -euo pipefail
# shellcheck source=tests/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# plan ARGUMENT…: writes a plan to $T/plan.
plan() {
	local program
	mkdir -p "$T/stub" "$T/servers" "$T/components"
	for program in servers/helium servers/kine-shim servers/helium-apiserver servers/helium-agent components/kubectl \
		components/kube-apiserver components/kube-controller-manager components/election; do
		printf '#!/bin/sh\nexit 1\n' >"$T/$program"
		chmod +x "$T/$program"
	done
	# What differs from machine to machine: folders, and PostgreSQL's programs with the user that they run as.
	STUB=$T/stub PATH=$HERE/stubs:$PATH HELIUM_SERVERS=${SERVERS-$T/servers} HELIUM_BIN=$T/${COMPONENTS:-components} \
		HELIUM_ENGINE=docker CARGO_TARGET_DIR=$T/target \
		"$ROOT/setup.sh" --dry-run --state-dir "$T/state" "$@" 2>/dev/null |
		sed -e "s|$T/||g" -e "s|$HERE/stubs/||g" -e "s|$ROOT/||g" -e "s|$ROOT||g" \
			-e 's|setpriv [^/]* -- ||' | sed -E 's#/[^ ]*/(initdb|postgres|psql) #\1 #' >"$T/plan"
	[ ! -e "$T/state" ] || fail "a dry run made $T/state"
}

# golden NAME ARGUMENT…: compares a plan with golden/NAME.plan.
golden() {
	local name=$1
	shift
	plan "$@"
	if [ -n "${UPDATE:-}" ]; then cp "$T/plan" "$HERE/golden/$name.plan"; fi
	diff -u "$HERE/golden/$name.plan" "$T/plan" || fail "the plan differs from golden/$name.plan (UPDATE=1 tests/setup/plan_test.sh writes it anew)"
}

test_plan_of_processes() { golden processes --processes --port-base 17400; }

# What differs: a relay before each kine-shim, and whoever goes a way that can be cut goes to it.
test_plan_of_processes_that_can_be_drilled() {
	plan --processes --drill --port-base 17400
	in_order "$T/plan" "start cluster1-links: servers/helium drill relay --control state/links/cluster1.sock --link 'control-plane=127.0.0.1:17415->127.0.0.1:17411' --link 'kubernetes=127.0.0.1:17416->127.0.0.1:17410' --link 'store=127.0.0.1:17417->127.0.0.1:17412' --link 'database=127.0.0.1:17418->127.0.0.1:17400' --link 'peers=127.0.0.1:17419->127.0.0.1:17412'" \
		"start cluster1-kine-shim: servers/kine-shim --name cluster1 --listen-address 127.0.0.1:17412 --advertise-client-url https://127.0.0.1:17419" \
		"--etcd-servers=https://127.0.0.1:17417" "start cluster2-links:" "start cluster3-links:"
	exits 2 "$ROOT/setup.sh" --drill --dry-run
	contains "--drill needs --processes" "$T/out"
}
# On a fresh clone both builds come first; what they make is used afterwards.
test_plan_of_processes_with_nothing_built() {
	SERVERS='' COMPONENTS=none plan --processes --port-base 17400
	in_order "$T/plan" "[2] programs" "+ cargo build --release --locked" "+ tests/build.sh kubernetes" "[3] certificates" \
		"start cluster1-host-store: target/release/kine-shim" "start cluster1-kube-apiserver: none/kube-apiserver" \
		"start cluster1-helium-agent: target/release/helium-agent"
}
test_plan_of_kind_with_yugabyte() { golden kind-yugabyte; }
test_plan_of_kind_with_postgres() { golden kind-postgres --store postgres; }

run_tests
