# shellcheck shell=bash
# Servers as plain processes: each has a file below run/ with its id and the time at which the kernel
# started it, so that a number that another program got since is never signalled, and one below parts/ that says how it is
# started, for helium drill. No secret is in it: those are in the file that it names.

# process_birth PID: when the process started, in a form that only has to be compared.
process_birth() {
	local stat
	if [ -r "/proc/$1/stat" ]; then
		stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
		stat=${stat##*) } # a command's name may contain anything
		# shellcheck disable=SC2086 # fields are separated by single spaces
		set -- $stat
		[ "$1" != Z ] || return 1
		printf '%s' "${20}"
	else
		ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' '_' | grep .
	fi
}

# process_alive NAME: whether the process that was started under that name still runs; prints its id.
process_alive() {
	local pid birth
	[ -f "$STATE/run/$1" ] || return 1
	read -r pid birth <"$STATE/run/$1" || return 1
	[ "$(process_birth "$pid")" = "$birth" ] || return 1
	printf '%s\n' "$pid"
}

# process_start NAME ENVIRONMENT COMMAND…: starts a process unless it runs. ENVIRONMENT is a file of
# NAME=VALUE lines for it alone, or -.
process_start() {
	local name=$1 environment=$2 log pid
	shift 2
	if is_dry; then
		[ "$environment" = - ] && environment='' || environment=" (environment: $environment)"
		plan "start $name: $(quoted "$@")$environment"
		return
	fi
	process_alive "$name" >/dev/null && return
	changed
	log=$STATE/logs/$name.log
	part_text "$name" "$environment" "$log" "$@" | write_file "$STATE/parts/$name.json" 0600
	printf '==== %s %s\n' "$(timestamp)" "$(quoted "$@")" >>"$log"
	# Job control gives it a process group of its own: Ctrl-C in this terminal is not for it.
	pid=$(
		set -m
		(
			if [ "$environment" != - ]; then
				set -a
				# shellcheck disable=SC1090
				. "$environment"
			fi
			exec nohup "$@"
		) >>"$log" 2>&1 </dev/null &
		printf '%s' $!
	)
	printf '%s %s\n' "$pid" "$(process_birth "$pid" || printf ended)" >"$STATE/run/$name"
	record "process $name"
}

# part_text NAME ENVIRONMENT LOG COMMAND…: how a process is started, as JSON.
part_text() {
	local name=$1 environment=$2 log=$3 word words=()
	shift 3
	[ "$environment" != - ] || environment=''
	for word in "$@"; do words+=("$(json_string "$word")"); done
	printf '{"name":%s,"directory":%s,"environment":%s,"log":%s,\n "command":[%s]}\n' "$(json_string "$name")" "$(json_string "$PWD")" \
		"$(json_string "$environment")" "$(json_string "$log")" "$(
			IFS=,
			printf '%s' "${words[*]}"
		)"
}

# process_ready NAME COMMAND…: a condition for wait_for that gives up at once when the process ended.
process_ready() {
	local name=$1
	shift
	if ! process_alive "$name" >/dev/null; then
		printf '%s ended; its log ends:\n' "$name"
		tail -n 6 "$STATE/logs/$name.log"
		return 99
	fi
	"$@"
}

# process_stop NAME [SIGNAL]: ends a process, by force if it doesn't within ten seconds.
process_stop() {
	local name=$1 signal=${2:-TERM} pid tries=0
	if is_dry; then
		plan "stop $name"
		return
	fi
	if pid=$(process_alive "$name"); then
		changed
		kill -s "$signal" "$pid" 2>/dev/null || true
		while process_alive "$name" >/dev/null; do
			tries=$((tries + 1))
			if [ $tries = 100 ]; then
				note "$name did not end within 10 s: killed"
				kill -s KILL "$pid" 2>/dev/null || true
			fi
			[ $tries -lt 150 ] || die "$name (process $pid) can't be ended"
			sleep 0.1
		done
	fi
	rm -f "$STATE/run/$name" "$STATE/parts/$name.json"
	forget "process $name"
}

# http_ok URL [curl argument…]: whether URL answers 2xx.
http_ok() {
	local url=$1
	shift
	curl --silent --show-error --fail --max-time 5 --noproxy '*' --output /dev/null "$@" "$url"
}

# port_free PORT: whether nobody listens on it.
port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
