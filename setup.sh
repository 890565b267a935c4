#!/usr/bin/env bash
# Brings up three Kubernetes clusters that share an API, and shows it.
#
#   ./setup.sh                 three kind clusters on one stretched YugabyteDB (needs docker, podman or nerdctl)
#   ./setup.sh --store postgres    the same on one PostgreSQL: smaller, not highly available
#   ./setup.sh --processes     three real kube-apiservers as plain processes and a private PostgreSQL;
#                              no container engine, no root
#
# Add one of these to say what to do (the default is to bring everything up and show it):
#   --check        only look whether this machine has what is needed
#   --demo         run the demonstration once more
#   --status       what runs, and what doesn't
#   --down         stop and remove what was made here, and nothing else
#
# Options:
#   --dry-run          print what would be done, and do nothing
#   --no-demo          bring up, but don't show
#   --state-dir DIR    where everything is kept (default: ./.helium)
#   --port-base N      --processes: first of the ports on 127.0.0.1 (default: the first free block from 17400)
#   --drill            --processes: with relays between the parts, which helium drill can cut
#
# Running it again goes on where it stopped, and changes nothing that is there already. Environment:
# HELIUM_SERVERS (folder with helium, kine-shim, helium-apiserver and helium-agent), HELIUM_BIN (folder with kube-apiserver, …, as
# tests/build.sh makes them), HELIUM_ENGINE (docker, podman or nerdctl), HELIUM_WAIT_PERCENT (200 doubles the bounds of
# all waits), HELIUM_SKIP_MACHINE_CHECK=1 (go on although memory, disk or kernel settings look too small).
# docs/install.md says more.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/setup/common.sh
. "$ROOT/scripts/setup/common.sh"
# shellcheck source=scripts/setup/check.sh
. "$ROOT/scripts/setup/check.sh"
# shellcheck source=scripts/setup/process.sh
. "$ROOT/scripts/setup/process.sh"
# shellcheck source=scripts/setup/pki.sh
. "$ROOT/scripts/setup/pki.sh"
# shellcheck source=scripts/setup/register.sh
. "$ROOT/scripts/setup/register.sh"
# shellcheck source=scripts/setup/demo.sh
. "$ROOT/scripts/setup/demo.sh"

usage() { sed -n '2,/^set -euo/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

usage_error() {
	warn "$1 (see setup.sh --help)"
	exit 2
}

# arguments ARGUMENT…: sets PROFILE, ACTION, DRY_RUN, DEMO, STATE, STORE, PORT_BASE, DRILL and AGAIN.
arguments() {
	PROFILE=kind ACTION=up DRY_RUN=0 DEMO=1 STATE=$PWD/.helium STORE=yugabyte PORT_BASE=17400 PORT_BASE_GIVEN=0 DRILL=0
	AGAIN=$0
	local seen=''
	while [ $# != 0 ]; do
		case $1 in
		--processes) PROFILE=processes AGAIN+=' --processes' ;;
		--drill) DRILL=1 AGAIN+=' --drill' ;;
		--store | --state-dir | --port-base)
			[ $# -ge 2 ] || usage_error "$1 needs a value"
			case $1 in
			--store) STORE=$2 AGAIN+=" --store $2" ;;
			--state-dir) STATE=$2 AGAIN+=" $(quoted --state-dir "$2")" ;;
			--port-base) PORT_BASE=$2 PORT_BASE_GIVEN=1 AGAIN+=" --port-base $2" ;;
			esac
			shift
			;;
		--dry-run) DRY_RUN=1 ;;
		--no-demo) DEMO=0 ;;
		--check | --demo | --status | --down)
			[ -z "$seen" ] || usage_error "$seen and $1 exclude each other"
			seen=$1 ACTION=${1#--}
			;;
		-h | --help)
			usage
			exit 0
			;;
		*) usage_error "unknown argument $1" ;;
		esac
		shift
	done
	[ "$DRILL" = 0 ] || [ "$PROFILE" = processes ] || usage_error "--drill needs --processes"
	case $STORE in yugabyte | postgres) ;; *) usage_error "--store is yugabyte or postgres" ;; esac
	case $PORT_BASE in *[!0-9]* | '') usage_error "--port-base is a number" ;; esac
	if [ "$PORT_BASE" -lt 1024 ] || [ "$PORT_BASE" -gt 65000 ]; then
		usage_error "--port-base is between 1024 and 65000"
	fi
	case $STATE in /*) ;; *) STATE=$PWD/$STATE ;; esac
	[ "$STATE" != / ] || usage_error "--state-dir can't be /"
}

up() {
	state_open
	state_lock
	report_begin
	"${PROFILE}_up"
	if [ "$DEMO" = 1 ]; then
		if ! is_dry && [ -f "$STATE/demo-done" ]; then
			say "The demonstration was shown already ($AGAIN --demo shows it again)."
		else
			demo_run
		fi
	fi
	report_end succeeded
	demo_next
}

demo() {
	state_made
	state_lock
	report_begin
	demo_run
	report_end succeeded
	demo_next
}

state_made() { is_dry || [ -f "$STATE/profile" ] || die "nothing was made in $STATE: run $AGAIN first"; }

down() {
	[ -f "$STATE/profile" ] || {
		say "nothing was made in $STATE"
		return
	}
	[ "$(cat "$STATE/profile")" = "$PROFILE" ] || die "$STATE belongs to profile '$(cat "$STATE/profile")'"
	state_lock
	"${PROFILE}_down"
	if is_dry; then
		plan "remove $STATE"
		return
	fi
	if [ -s "$STATE/owned" ]; then
		warn "still there:"
		sed 's/^/   /' "$STATE/owned" >&2
		exit 1
	fi
	# Only what setup.sh keeps there: the folder may have been somebody's before.
	rm -rf "$STATE/cache" "$STATE/clusters" "$STATE/demo" "$STATE/kubeconfig" "$STATE/links" "$STATE/logs" "$STATE/parts" "$STATE/postgres" "$STATE/run" "$STATE/secrets" \
		"$STATE/lock"
	rm -f "$STATE/"{.gitignore,changed,demo-done,owned,port-base,profile,report.json,steps.jsonl,measures.jsonl}
	LOCKED=0
	rmdir "$STATE" 2>/dev/null || say "$STATE is not empty: what else is in it stays"
	say "stopped and removed"
}

status() {
	state_made
	"${PROFILE}_status"
}

check() {
	if ! is_dry; then
		state_open
		: >>"$STATE/logs/setup.log"
	fi
	"${PROFILE}_check" && say "this machine has what is needed"
}

main() {
	if [ "${BASH_VERSINFO[0]}" -lt 5 ]; then
		warn "bash 5 or newer is needed; this is $BASH_VERSION (macOS: brew install bash)"
		exit 2
	fi
	arguments "$@"
	# Proxies are for the internet, not for servers of this machine.
	export NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost no_proxy=${no_proxy:+$no_proxy,}127.0.0.1,localhost
	unset KUBECONFIG # a person's own clusters are never touched
	export KUBECACHEDIR=$STATE/cache
	case $PROFILE in
	processes)
		# shellcheck source=scripts/setup/processes.sh
		. "$ROOT/scripts/setup/processes.sh"
		;;
	kind)
		# shellcheck source=scripts/setup/kind.sh
		. "$ROOT/scripts/setup/kind.sh"
		;;
	esac
	"${PROFILE}_locate"
	trap on_exit EXIT
	trap 'interrupted 130' INT
	trap 'interrupted 143' TERM
	"$ACTION"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	main "$@"
fi
