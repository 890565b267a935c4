#!/usr/bin/env bash
# Runs the tests. Installs or builds what they need, and fails loudly if a part can't be had.
#
#   ./test.sh            everything that a change must pass
#   ./test.sh --rust     only formatting, lints and the Rust tests
#   ./test.sh --go       only the tests against real etcd and real Kubernetes clusters
#   ./test.sh --full     the heavier suites too (longer fault runs; about an hour more)
#
# Needs: Rust (rust-toolchain.toml), Go 1.26, a C compiler, Python 3 with venv, PostgreSQL server binaries (installed
# with apt-get when this runs as root), and 8 GiB of memory. No container engine, no service that runs already.
set -euo pipefail
cd "$(dirname "$0")"

rust=1 go=1 full=0
for argument in "$@"; do
  case "$argument" in
    --rust) go=0 ;;
    --go) rust=0 ;;
    --full) full=1 ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument $argument (try --help)" >&2; exit 2 ;;
  esac
done

export HELIUM_BIN="${HELIUM_BIN:-$PWD/.cache/bin}"
export HELIUM_ETCD_BIN="$HELIUM_BIN/etcd"
export HELIUM_TEST_FULL=$full
export RUST_BACKTRACE=1
passed=0

say() { printf '\n== %s (%s)\n' "$*" "$(date +%T)"; }
die() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }
step() { # step NAME COMMAND…: one named part of the run
  local name=$1 started=$SECONDS
  shift
  say "$name"
  "$@" || { printf '\n%d passed, 1 failed\n' "$passed"; die "failed: $name"; }
  passed=$((passed + 1))
  printf -- '-- %s: %d s\n' "$name" $((SECONDS - started))
}

need() { # need COMMAND WHAT-TO-DO
  command -v "$1" >/dev/null || die "$1 is missing: $2"
}

postgres_binaries() {
  ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | sort -V | tail -n 1
}

install_postgres() {
  [ -n "$(postgres_binaries)" ] && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    die "PostgreSQL server binaries are missing: install the package postgresql (version 13 or later)"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
  [ -n "$(postgres_binaries)" ] || die "apt-get installed postgresql, but its initdb isn't where it should be"
}

need cargo "install Rust with rustup; rust-toolchain.toml names the version"
need cc "install a C compiler (Debian: apt-get install build-essential); SQLite is built from source"
need go "install Go 1.26 or later; real etcd and kube-apiserver are built with it"
[ $go = 0 ] || need python3 "install Python 3 with venv (Debian: apt-get install python3-venv); one of the programs that stand for election is written in it"
step "PostgreSQL server binaries" install_postgres
step "real etcd and etcdctl" tests/build.sh etcd
step "real Kubernetes" tests/build.sh kubernetes

if [ $rust = 1 ]; then
  step "formatting" cargo fmt --all --check
  step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
  step "Rust tests" cargo test --workspace --locked
  step "the API server on a real etcd" env HELIUM_API_STORE=etcd cargo test -p helium-apiserver --test api_registry --locked
fi
if [ $go = 1 ]; then
  step "kine-shim and helium-apiserver" cargo build --workspace --bins --locked
  step "tests against real etcd and Kubernetes" tests/run.sh
  step "installation" env HELIUM_SERVERS="$PWD/target/debug" tests/setup/run.sh
fi
printf '\n%d passed, 0 failed\n' "$passed"
