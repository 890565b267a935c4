#!/usr/bin/env bash
# Builds the real components that the tests and the benchmark run against, from
# their published Go modules, into $HELIUM_BIN (default: .cache/bin of the repository).
#
#   tests/build.sh [etcd] [kubernetes] [kine] [programs]      (all four without arguments)
#
# What is newer than its sources is left alone. Cold, on two cores: etcd 40 s,
# kubernetes 5 minutes, kine 100 s (it needs a C compiler for its SQLite),
# programs 40 s (the programs that stand for election in Rust and Python).
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${HELIUM_BIN:-$(dirname "$tests")/.cache/bin}
mkdir -p "$bin"

say() { printf '%s build: %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

command -v go >/dev/null || {
	say "go is not installed: Go 1.26 or newer is needed (https://go.dev/dl/)"
	exit 1
}

# fresh OUTPUT SOURCE...: OUTPUT exists and no file below SOURCE... is newer.
fresh() {
	local output=$1
	shift
	[ -x "$output" ] && [ -z "$(find "$@" -type f -newer "$output" -print -quit)" ]
}

# build MODULE OUTPUT PACKAGE [go build argument...]
build() {
	local module=$1 output=$2 package=$3 began=$SECONDS
	shift 3
	local sources=("$tests/$module/go.mod" "$tests/$module/go.sum")
	case $package in ./*) sources+=("$tests/$module/$package") ;; esac
	case $package in ./election | ./manager) sources+=("$tests/$module/trace") ;; esac
	if fresh "$bin/$output" "${sources[@]}"; then
		say "$output is fresh"
		return
	fi
	say "$output: building (cold this takes minutes)"
	# Through a second name, so that a running server's binary is never written to.
	(cd "$tests/$module" && go build -o "$bin/$output.new" "$@" "$package")
	mv -f "$bin/$output.new" "$bin/$output"
	say "$output: built in $((SECONDS - began)) s"
}

build_etcd() {
	CGO_ENABLED=0 build etcd etcd ./cmd/etcd
	ln -sfn etcd "$bin/etcdctl"
	CGO_ENABLED=0 build etcd robustness ./robustness
}

build_kubernetes() {
	local version=1.36.3 flags="-s -w" package
	# Without these /version answers v0.0.0-master, which clients can't parse.
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=36 -X $package.gitTreeState=clean"
	done
	CGO_ENABLED=0 build kubernetes kubernetes ./cmd/kubernetes -ldflags "$flags"
	local name
	for name in kube-apiserver kube-controller-manager kubectl; do
		ln -sfn kubernetes "$bin/$name"
	done
	CGO_ENABLED=0 build kubernetes election ./election
	CGO_ENABLED=0 build kubernetes manager ./manager
	CGO_ENABLED=0 build kubernetes coordinated ./coordinated
}

build_kine() {
	command -v gcc >/dev/null || command -v cc >/dev/null || {
		say "no C compiler: kine's SQLite needs one (apt-get install gcc)"
		exit 1
	}
	CGO_ENABLED=1 build kine kine github.com/k3s-io/kine
}

build_programs() {
	build_python
	local root target
	root=$(dirname "$tests")
	target=${CARGO_TARGET_DIR:-$root/target}
	(cd "$root" && cargo build -q --locked -p kube-rs-candidate)
	cmp -s "$target/debug/kube-rs-candidate" "$bin/kube-rs" || {
		cp "$target/debug/kube-rs-candidate" "$bin/kube-rs.new"
		mv -f "$bin/kube-rs.new" "$bin/kube-rs"
	}
}

# A virtual environment with exactly the packages of requirements.txt.
build_python() {
	local source=$tests/programs/python venv=$bin/python began=$SECONDS
	command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null || {
		say "python3 with its module venv is missing (Debian: apt-get install python3-venv)"
		exit 1
	}
	if ! cmp -s "$source/requirements.txt" "$venv/installed.txt"; then
		say "python: installing the Kubernetes client"
		rm -rf "$venv"
		python3 -m venv "$venv"
		"$venv/bin/pip" install -q --require-hashes --only-binary :all: -r "$source/requirements.txt" || {
			say "python: the packages of $source/requirements.txt can't be had (no package index, or no wheels for this machine)"
			exit 1
		}
		cp "$source/requirements.txt" "$venv/installed.txt"
		say "python: installed in $((SECONDS - began)) s"
	fi
}

for name in "${@:-all}"; do
	case $name in
	all) build_etcd && build_kubernetes && build_kine && build_programs ;;
	etcd | kubernetes | kine | programs) "build_$name" ;;
	*)
		say "unknown component '$name': expected etcd, kubernetes, kine or programs"
		exit 2
		;;
	esac
done
