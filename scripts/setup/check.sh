# shellcheck shell=bash
# What a machine has.

# free_mib: memory that programs can still have, in MiB.
free_mib() {
	if [ -r /proc/meminfo ]; then
		awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo
	else # macOS tells what is installed, not what is free
		printf '%s' $(($(sysctl -n hw.memsize 2>/dev/null || printf 0) / 1048576))
	fi
}

# disk_mib PATH: free space where PATH is or will be, in MiB.
disk_mib() {
	local path=$1
	while [ ! -d "$path" ]; do path=$(dirname "$path"); done
	df -Pm "$path" | awk 'NR == 2 { print $4 }'
}

# report_problems TEXT…: prints all problems at once; fails if there are any.
report_problems() {
	[ $# != 0 ] || return 0
	local problem
	for problem in "$@"; do warn "$problem"; done
	is_dry && return 0 # a plan can be read on a machine that couldn't carry it out
	return 1
}

# at_least VERSION MINIMUM: whether a dotted version is not older.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
