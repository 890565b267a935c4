# shellcheck shell=bash
# What the tests of setup.sh share. A test is a function test_…; it runs in a shell of its own with a temporary
# folder $T, and fails when it exits with anything but 0.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # for those who source this
ROOT=$(cd "$HERE/../.." && pwd)

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

# equal EXPECTED ACTUAL WHAT
equal() { [ "$1" = "$2" ] || fail "$3: expected '$1', got '${2:0:400}'"; }

# contains TEXT FILE: a fixed string is in a file.
contains() { grep -qF -- "$1" "$2" || fail "'$1' is not in $2:
$(tail -n 20 "$2")"; }

# absent TEXT FILE
absent() { ! grep -qF -- "$1" "$2" || fail "'$1' is in $2: $(grep -m 3 -nF -- "$1" "$2")"; }

# in_order FILE TEXT…: the texts first appear in this order.
in_order() {
	local file=$1 last=0 text line
	shift
	for text in "$@"; do
		line=$(grep -m 1 -nF -- "$text" "$file" | cut -d: -f1)
		[ -n "$line" ] || fail "'$text' is not in $file"
		[ "$line" -gt "$last" ] || fail "'$text' is at line $line of $file, before what should precede it (line $last)"
		last=$line
	done
}

# exits CODE COMMAND…: runs a command whose output goes to $T/out, and checks how it ends.
exits() {
	local expected=$1 code=0
	shift
	"$@" >"$T/out" 2>&1 || code=$?
	[ "$code" = "$expected" ] || fail "'$*' ended with $code instead of $expected:
$(grep -v HELIUM_SKIP_MACHINE_CHECK "$T/out" | tail -n 8)"
}

# run_tests: runs every test_… function of the file that calls this, or those named in $TESTS.
run_tests() {
	local name failed=0 code
	for name in ${TESTS:-$(compgen -A function test_)}; do
		declare -F "$name" >/dev/null || continue
		T=$(mktemp -d "${TMPDIR:-/tmp}/helium-setup.XXXXXX")
		chmod 0755 "$T"
		code=0
		(
			trap - EXIT
			set -euo pipefail
			export T
			"$name"
		) &
		wait $! || code=$?
		if [ $code = 0 ]; then
			printf 'ok      %s\n' "$name"
			rm -rf "$T"
		else
			printf 'FAILED  %s (%s is kept)\n' "$name" "$T"
			failed=1
		fi
	done
	return $failed
}
