# shellcheck shell=bash
# What all of setup.sh stands on: messages, the one door to the outside, waiting, steps, the report.
#
# Rules that everything here keeps:
#   - Whatever changes something goes through run, write_file, process_start or forget, and is printed
#     instead of done with --dry-run.
#   - A step looks before it acts, so that a second run changes nothing and an interrupted one goes on.
#   - A wait has a bound, and says what it waited for and what it saw last.
#   - No secret is ever an argument: secrets are files (mode 0600), standard input, or environment.
#   - Nothing outside the state directory is written, and down removes only what is recorded in it.
#
# Uses: STATE (state directory, absolute), DRY_RUN (0 or 1), PROFILE.

say() { printf '%s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
warn() { printf 'setup.sh: %s\n' "$*" >&2; }
die() {
	warn "$*"
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
is_dry() { [ "$DRY_RUN" = 1 ]; }

# quoted ARGUMENT…: the arguments as a person would type them.
quoted() {
	local out='' argument
	for argument in "$@"; do
		case $argument in
		'' | *[!A-Za-z0-9_@%+=:,./-]*) out+=" '${argument//\'/\'\\\'\'}'" ;;
		*) out+=" $argument" ;;
		esac
	done
	printf '%s' "${out# }"
}

# plan TEXT: one line of the plan that --dry-run prints.
plan() { printf '   %s\n' "$*"; }

# changed: the current step changes something.
changed() { is_dry || : >"$STATE/changed"; }

# run COMMAND…: changes something outside. Its output goes to the step's log.
run() {
	if is_dry; then
		plan "+ $(quoted "$@")"
		return
	fi
	changed
	printf '+ %s\n' "$(quoted "$@")" >>"$STATE/logs/setup.log"
	local code=0
	"$@" >>"$STATE/logs/setup.log" 2>&1 || code=$?
	[ $code = 0 ] && return
	warn "failed with $code: $(quoted "$@")"
	tail -n 5 "$STATE/logs/setup.log" | sed 's/^/   | /' >&2
	return $code
}

# run_from FILE COMMAND…: run with a file as standard input.
run_from() {
	local file=$1
	shift
	if is_dry; then
		plan "+ $(quoted "$@") < $file"
	else
		run "$@" <"$file"
	fi
}

# write_file PATH MODE: writes standard input to a file, if it is not there with that text already.
write_file() {
	local path=$1 mode=$2 text
	text=$(cat && printf x) # the x keeps the last line feeds
	text=${text%x}
	if is_dry; then
		plan "write $path"
		return
	fi
	[ -f "$path" ] && printf '%s' "$text" | cmp -s - "$path" && return
	changed
	mkdir -p "$(dirname "$path")"
	(umask 077 && printf '%s' "$text" >"$path.new")
	chmod "$mode" "$path.new"
	mv -f "$path.new" "$path"
}

# secret FILE: makes a random password, once, readable for the owner alone.
secret() {
	[ -s "$1" ] && return
	if is_dry; then
		plan "write $1 (random)"
		return
	fi
	changed
	mkdir -p "$(dirname "$1")"
	(umask 077 && openssl rand -hex 24 >"$1.new")
	mv -f "$1.new" "$1"
}

now_ms() {
	local now=${EPOCHREALTIME/[.,]/}
	printf '%s' $((now / 1000))
}

timestamp() { date -u +%Y-%m-%dT%H:%M:%SZ; }

# wait_for WHAT SECONDS COMMAND…: calls COMMAND until it succeeds. A COMMAND that returns 99 says that
# waiting longer is of no use. What it printed last is the reason that a failure gives. HELIUM_WAIT_PERCENT
# stretches all bounds, for slow machines.
wait_for() {
	local what=$1 bound=$(($2 * ${HELIUM_WAIT_PERCENT:-100} / 100)) began=$SECONDS reason='' code
	shift 2
	if is_dry; then
		plan "wait up to $bound s: $what"
		return
	fi
	while :; do
		code=0
		reason=$("$@" 2>&1) || code=$?
		[ $code = 0 ] && return
		if [ $code = 99 ] || [ $((SECONDS - began)) -ge "$bound" ]; then
			warn "gave up after $((SECONDS - began)) s (bound: $bound s) waiting for: $what"
			[ -z "$reason" ] || printf '%s\n' "$reason" | tail -n 8 | sed 's/^/   | /' >&2
			return 1
		fi
		sleep 0.3
	done
}

# in_parallel FUNCTION: calls FUNCTION with each cluster's name, all at once; one after the other in a plan.
in_parallel() {
	local name pids=() pid failed=0
	for name in "${CLUSTERS[@]}"; do
		if is_dry; then
			"$1" "$name"
		else
			(
				set -e
				"$1" "$name"
			) &
			pids+=($!)
		fi
	done
	for pid in ${pids[@]+"${pids[@]}"}; do
		wait "$pid" || failed=1
	done
	return $failed
}

# each FUNCTION: calls FUNCTION with each cluster's name, in order.
each() {
	local name
	for name in "${CLUSTERS[@]}"; do "$1" "$name"; done
}

# --- the state directory

state_open() {
	is_dry && return
	mkdir -p "$STATE"
	chmod 0711 "$STATE" # a database server that runs as another user passes through it
	mkdir -p "$STATE/logs" "$STATE/run"
	mkdir -p "$STATE/secrets" && chmod 0700 "$STATE/secrets"
	[ -f "$STATE/.gitignore" ] || printf '*\n' >"$STATE/.gitignore"
	if [ -f "$STATE/profile" ] && [ "$(cat "$STATE/profile")" != "$PROFILE" ]; then
		die "$STATE belongs to profile '$(cat "$STATE/profile")': setup.sh --down removes it, or choose another --state-dir"
	fi
	printf '%s\n' "$PROFILE" >"$STATE/profile"
}

# state_lock: one setup.sh at a time for each state directory.
state_lock() {
	is_dry && return
	if ! mkdir "$STATE/lock" 2>/dev/null; then
		local holder
		holder=$(cat "$STATE/lock/pid" 2>/dev/null || true)
		if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
			die "another setup.sh (process $holder) works on $STATE"
		fi
		rm -rf "$STATE/lock"
		mkdir "$STATE/lock" || die "$STATE/lock can't be had"
	fi
	printf '%s\n' "$$" >"$STATE/lock/pid"
	LOCKED=1
}

state_unlock() {
	[ "${LOCKED:-0}" = 0 ] || rm -rf "$STATE/lock"
	LOCKED=0
}

# record LINE: notes something that down has to remove; each line once.
record() {
	is_dry && return
	grep -qxF -- "$1" "$STATE/owned" 2>/dev/null || printf '%s\n' "$1" >>"$STATE/owned"
}

# recorded LINE: whether it was noted.
recorded() { grep -qxF -- "$1" "$STATE/owned" 2>/dev/null; }

# forget LINE: what was noted is gone.
forget() {
	is_dry && return
	[ -f "$STATE/owned" ] || return 0
	grep -vxF -- "$1" "$STATE/owned" >"$STATE/owned.new" || true
	mv -f "$STATE/owned.new" "$STATE/owned"
}

# --- steps and the report

json_string() {
	local text=$1
	text=${text//\\/\\\\}
	text=${text//\"/\\\"}
	text=${text//$'\n'/\\n}
	text=${text//$'\t'/\\t}
	printf '"%s"' "$(printf '%s' "$text" | tr -d '\000-\037')"
}

report_begin() {
	BEGAN=$(timestamp)
	STEP='' STEP_NUMBER=0
	is_dry && return
	: >"$STATE/steps.jsonl"
	: >"$STATE/measures.jsonl"
}

# measure NAME NUMBER UNIT: a figure for the report.
measure() {
	printf '{"name":%s,"value":%s,"unit":"%s"}\n' "$(json_string "$1")" "$2" "$3" >>"$STATE/measures.jsonl"
}

# joined FILE: lines as the elements of a JSON array.
joined() { [ ! -s "$1" ] || paste -sd, "$1"; }

# report_end RESULT: writes report.json.
report_end() {
	is_dry && return
	[ -f "$STATE/steps.jsonl" ] || return 0
	{
		printf '{"profile":"%s","began":"%s","ended":"%s","result":"%s",\n' "$PROFILE" "$BEGAN" "$(timestamp)" "$1"
		printf ' "steps":[%s],\n' "$(joined "$STATE/steps.jsonl")"
		printf ' "measures":[%s]}\n' "$(joined "$STATE/measures.jsonl")"
	} >"$STATE/report.json"
}

step_record() { # step_record NAME BEGAN RESULT
	is_dry && return
	printf '{"step":%s,"began":"%s","ended":"%s","result":"%s"}\n' "$(json_string "$1")" "$2" "$(timestamp)" "$3" >>"$STATE/steps.jsonl"
}

# step NAME FUNCTION: runs one named step in a shell of its own and records how it went. Never call it
# where bash ignores errors (in an if, before && or ||): it would go on after a failed command.
step() {
	local name=$1 function=$2 began seconds=$SECONDS code=0 result
	began=$(timestamp)
	STEP=$name STEP_NUMBER=$((STEP_NUMBER + 1))
	say "[$STEP_NUMBER] $name"
	is_dry || rm -f "$STATE/changed"
	set +e
	# In a process group of its own, so that an interruption ends whatever the step is waiting for.
	set -m
	(
		set -e +m
		"$function"
	) &
	STEP_PID=$!
	set +m
	wait "$STEP_PID"
	code=$?
	STEP_PID=''
	set -e
	if [ $code != 0 ]; then
		step_record "$name" "$began" failed
		exit $code
	fi
	result=unchanged
	[ ! -f "$STATE/changed" ] || result='done'
	is_dry && result=planned
	step_record "$name" "$began" "$result"
	is_dry || note "$result, $((SECONDS - seconds)) s"
	STEP=''
}

# interrupted CODE: ends the step that is running, with all its children. Servers that it has started go on.
interrupted() {
	[ -z "${STEP_PID:-}" ] || kill -TERM -- "-$STEP_PID" 2>/dev/null || true
	exit "$1"
}

# on_exit: says what a failed run has left behind.
on_exit() {
	local code=$?
	trap - EXIT
	if [ $code != 0 ] && [ -n "${STEP:-}" ]; then
		report_end failed
		warn "stopped in step $STEP_NUMBER, $STEP. What was made so far is still there and runs on:"
		warn "  go on:       $AGAIN"
		warn "  see it:      $AGAIN --status"
		warn "  remove it:   $AGAIN --down"
		warn "  logs:        $STATE/logs    report: $STATE/report.json"
	fi
	state_unlock
	exit $code
}
