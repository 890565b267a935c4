#!/usr/bin/env bash
# The plans that setup.sh --dry-run prints, word by word, against golden/. UPDATE=1 writes them anew: then read the
# difference.
set -euo pipefail
# shellcheck source=tests/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# plan NAME ARGUMENT…: compares a plan with golden/NAME.plan.
plan() {
	local name=$1 program
	shift
	mkdir -p "$T/stub" "$T/servers" "$T/components"
	for program in servers/kine-shim servers/helium-apiserver servers/helium-agent components/kubectl \
		components/kube-apiserver components/kube-controller-manager components/election; do
		printf '#!/bin/sh\nexit 1\n' >"$T/$program"
		chmod +x "$T/$program"
	done
	# What differs from machine to machine: folders, and PostgreSQL's programs with the user that they run as.
	STUB=$T/stub PATH=$HERE/stubs:$PATH HELIUM_SERVERS=$T/servers HELIUM_BIN=$T/components HELIUM_ENGINE=docker \
		"$ROOT/setup.sh" --dry-run --state-dir "$T/state" "$@" 2>/dev/null |
		sed -e "s|$T/||g" -e "s|$HERE/stubs/||g" -e "s|$ROOT/||g" -e "s|$ROOT||g" \
			-e 's|setpriv [^/]* -- ||' | sed -E 's#/[^ ]*/(initdb|postgres|psql) #\1 #' >"$T/plan"
	if [ -n "${UPDATE:-}" ]; then cp "$T/plan" "$HERE/golden/$name.plan"; fi
	diff -u "$HERE/golden/$name.plan" "$T/plan" || fail "the plan differs from golden/$name.plan (UPDATE=1 tests/setup/plan_test.sh writes it anew)"
	[ ! -e "$T/state" ] || fail "a dry run made $T/state"
}

test_plan_of_processes() { plan processes --processes --port-base 17400; }
test_plan_of_kind_with_yugabyte() { plan kind-yugabyte; }
test_plan_of_kind_with_postgres() { plan kind-postgres --store postgres; }

run_tests
