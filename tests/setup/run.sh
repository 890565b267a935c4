#!/usr/bin/env bash
# The tests of setup.sh, of what it installs, and of its plans.
#
#   tests/setup/run.sh [lint] [plan] [images] [kind] [processes] [drill]     (all without arguments)
#
# processes and drill need helium, kine-shim, helium-apiserver and helium-agent in $HELIUM_SERVERS (default: target/debug, built if it
# isn't set) and real components in $HELIUM_BIN (default .cache/bin, where tests/build.sh puts them). kind runs against
# stand-ins for docker, kind and kubectl: no container engine is used. lint needs shellcheck, and is left out, saying
# so, where there is none.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

run_lint() {
	if ! command -v shellcheck >/dev/null; then
		echo "left out  shellcheck isn't installed (Debian: apt-get install shellcheck)"
		return
	fi
	(cd "$root" && shellcheck -x -a setup.sh scripts/cluster-secrets.sh && shellcheck -x tests/setup/*.sh tests/setup/stubs/stub)
	echo "ok      shellcheck"
}

# servers: what runs, built if it isn't there.
servers() {
	if [ -z "${HELIUM_SERVERS:-}" ]; then
		(cd "$root" && cargo build -p helium-cli -p kine-shim -p helium-apiserver -p helium-controllers)
		export HELIUM_SERVERS=${CARGO_TARGET_DIR:-$root/target}/debug
	fi
	export HELIUM_BIN=${HELIUM_BIN:-$root/.cache/bin} CGO_ENABLED=0
	"$root/tests/build.sh" kubernetes
}

run_processes() {
	servers
	(cd "$here/manifests" && go vet ./...)
	"$here/processes_test.sh"
}

run_drill() {
	servers
	"$here/drill_test.sh"
}

for name in "${@:-all}"; do
	case $name in
	all)
		run_lint
		"$here/plan_test.sh"
		"$here/images_test.sh"
		"$here/kind_test.sh"
		run_processes
		run_drill
		;;
	lint | processes | drill) "run_$name" ;;
	plan | images | kind) "$here/${name}_test.sh" ;;
	*)
		echo "tests/setup/run.sh: unknown part '$name': expected lint, plan, images, kind, processes or drill" >&2
		exit 2
		;;
	esac
done
