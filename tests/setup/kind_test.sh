#!/usr/bin/env bash
# setup.sh with kind clusters, where docker, kind and kubectl are stand-ins that log how they are called: what it
# does and in which order, that it can be run again and can go on, and what it says and leaves when something fails.
set -euo pipefail
# shellcheck source=tests/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MUTATING='^(kind (create|load|delete)|(docker|podman) (build|save|run|start|kill|rm|rmi) |kubectl .* (apply|create|delete|patch|replace|scale) |kubectl .* exec .*configure)'

# shellcheck disable=SC2120 # most tests give it no argument
# setup ARGUMENT…: runs setup.sh with the stand-ins, in an empty home and an empty working directory.
setup() {
	mkdir -p "$T/stub" "$T/home" "$T/work"
	(
		cd "$T/work"
		HOME=$T/home KUBECONFIG=$T/home/of-a-person STUB=$T/stub PATH=$HERE/stubs:$PATH HELIUM_BIN=$T/none \
			HELIUM_WAIT_PERCENT=${WAIT_PERCENT:-100} HELIUM_SKIP_MACHINE_CHECK=1 "$ROOT/setup.sh" --no-demo --state-dir "$T/state" "$@"
	)
}

# changes: the calls that changed something.
changes() { grep -E "$MUTATING" "$T/stub/log" || true; }

nothing_else_written() {
	equal "" "$(find "$T/home" "$T/work" -mindepth 1)" "files outside the state directory"
}

test_up_does_everything_in_order() {
	exits 0 setup
	in_order "$T/stub/log" "kind create cluster --name h" "docker build" "docker save" "kind load image-archive" \
		"apply -f $T/state/clusters/h1/objects.yaml" "apply -k $ROOT/yugabyte/h1" "apply -k $ROOT/yugabyte/h2" \
		"apply -k $ROOT/yugabyte/h3" "configure data_placement --fault_tolerance=region" "apply -k $ROOT/yugabyte/database" \
		"apply -f $T/state/secrets/database-h1.yaml" "apply -k $ROOT/manifests/overlays/yugabyte" \
		"get apiservice v1.helium.dev" "apply -f $ROOT/manifests/examples/definitions.yaml" \
		"get apiservice v1beta1.olympus.example.com"
	equal 3 "$(grep -c 'kind create cluster' "$T/stub/log")" "clusters"
	equal 3 "$(grep -c 'apply -k .*/overlays/yugabyte' "$T/stub/log")" "installations"
	contains '"result":"succeeded"' "$T/state/report.json"
	nothing_else_written
}

test_each_cluster_tries_its_own_database_node_first() {
	exits 0 setup
	local name password
	password=$(cat "$T/state/secrets/database")
	contains "postgres://helium:$password@h2-control-plane:5433,h1-control-plane:5433,h3-control-plane:5433/helium" \
		"$T/state/secrets/database-h2.yaml"
	for name in h1 h2 h3; do equal 600 "$(stat -c %a "$T/state/secrets/database-$name.yaml")" "mode of a secret"; done
}

test_postgres_store_needs_one_container_and_no_yugabyte() {
	exits 0 setup --store postgres
	in_order "$T/stub/log" "docker run --detach --name helium-postgres --network kind --env-file" \
		"docker exec helium-postgres pg_isready" "apply -k $ROOT/manifests/overlays/postgres"
	absent yugabyte "$T/stub/log"
	contains "@helium-postgres:5432/helium" "$T/state/secrets/database-h3.yaml"
	: >"$T/stub/log"
	exits 0 setup # the store that was chosen first stays
	equal "" "$(changes)" "changes by the second run"
}

test_engine_that_was_chosen_is_used_by_kind_and_stays() {
	HELIUM_ENGINE=podman exits 0 setup
	contains "podman save --multi-image-archive -o" "$T/stub/log"
	exits 0 setup --down
	contains "podman rmi docker.io/library/kine-shim:0.1.0" "$T/stub/log"
	absent "docker " <(sed 's|docker.io||g' "$T/stub/log")
}

test_second_run_changes_nothing() {
	exits 0 setup
	: >"$T/stub/log"
	exits 0 setup
	equal "" "$(changes)" "changes by the second run"
	absent '"result":"done"' "$T/state/report.json"
}

test_no_secret_is_an_argument() {
	exits 0 setup
	local file
	for file in database yugabyte; do
		[ -s "$T/state/secrets/$file" ] || fail "no password was made: $file"
		absent "$(cat "$T/state/secrets/$file")" "$T/stub/log"
		absent "$(cat "$T/state/secrets/$file")" "$T/out"
		grep -rqF "$(cat "$T/state/secrets/$file")" "$T/state/logs" && fail "the password $file is in a log"
	done
	equal 700 "$(stat -c %a "$T/state/secrets")" "mode of the secrets' folder"
}

test_keys_of_authorities_stay_here() {
	exits 0 setup
	local key
	for key in "$T"/state/clusters/*/*-ca.key; do
		absent "$(base64 -w0 <"$key")" "$T/state/clusters/h1/objects.yaml"
		equal 600 "$(stat -c %a "$key")" "mode of $key"
	done
	openssl verify -CAfile "$T/state/clusters/h1/helium-ca.crt" -verify_hostname helium-apiserver.helium-system.svc \
		"$T/state/clusters/h1/helium-apiserver.crt" >/dev/null
	openssl verify -CAfile "$T/state/clusters/h1/store-ca.crt" -purpose sslclient "$T/state/clusters/h1/store-client.crt" >/dev/null
	! openssl verify -CAfile "$T/state/clusters/h1/store-ca.crt" "$T/state/clusters/h2/store-client.crt" >/dev/null 2>&1 ||
		fail "a certificate of h2 is good in h1"
}

# Whatever fails: it says in which step, what to do, and a later run goes on; down then leaves nothing.
test_failure_at_every_step_can_be_resumed() {
	local code failure step
	# Commands of steps that work on all clusters at once end with 1, the others with the failed command's code.
	while IFS='|' read -r code failure step; do
		rm -rf "$T/stub" "$T/state"
		STUB_FAIL=$failure exits "$code" setup
		contains "failed with 7: " "$T/out"
		contains "stopped in step" "$T/out"
		contains "$step" "$T/out"
		contains "--down" "$T/out"
		contains '"result":"failed"' "$T/state/report.json"
		[ ! -d "$T/state/lock" ] || fail "the lock was left behind"
		exits 0 setup
		exits 0 setup --down
		[ ! -e "$T/state" ] || fail "the state directory is still there after: $failure"
		equal "" "$(ls "$T/stub/things")" "things left after: $failure"
	done <<-END
		1|kind create cluster --name h2|three kind clusters
		7|docker build -f|images
		7|kind load image-archive|images
		1|objects.yaml|certificates
		7|apply -k $ROOT/yugabyte/h2|database
		7|configure data_placement|database
		7|apply -k $ROOT/yugabyte/database|database
		1|apply -k $ROOT/manifests/overlays/yugabyte|helium-apiserver
		7|definitions.yaml|shared kinds
	END
}

test_wait_ends_with_its_reason() {
	STUB_NEVER_READY=1 WAIT_PERCENT=0 exits 1 setup
	contains "gave up after" "$T/out"
	contains "h1: its YugabyteDB node is ready" "$T/out"
	contains "statefulset/yugabyted has /2 pods ready" "$T/out"
	contains "ImagePullBackOff" "$T/out"
}

test_interruption_ends_at_once_and_says_how_to_go_on() {
	mkdir -p "$T/stub" "$T/home" "$T/work"
	# shellcheck disable=SC2119
	STUB_NEVER_READY=1 setup >"$T/out" 2>&1 &
	local tries=0 code=0 pid calls
	until grep -q "apply -k $ROOT/yugabyte/h1" "$T/stub/log" 2>/dev/null; do # from here on it waits for minutes
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "it never got there: $(cat "$T/out")"
		sleep 0.1
	done
	pid=$(cat "$T/state/lock/pid")
	kill -TERM "$pid"
	wait $! || code=$?
	equal 143 $code "exit code"
	contains "stopped in step 5, database: yugabyte" "$T/out"
	[ ! -d "$T/state/lock" ] || fail "the lock was left behind"
	calls=$(wc -l <"$T/stub/log")
	sleep 1
	equal "$calls" "$(wc -l <"$T/stub/log")" "calls a second after it has ended"
	exits 0 setup
}

test_clusters_of_somebody_else_are_left_alone() {
	mkdir -p "$T/stub/things"
	: >"$T/stub/things/cluster-h2"
	exits 1 setup
	contains "a kind cluster named h2 exists and isn't from here" "$T/out"
	equal "" "$(changes)" "changes"
	exits 0 setup --down
	equal "" "$(changes)" "changes by down"
	[ -e "$T/stub/things/cluster-h2" ] || fail "somebody's cluster is gone"
}

test_down_removes_what_was_recorded_and_nothing_else() {
	mkdir -p "$T/stub/things" "$T/state"
	: >"$T/stub/things/cluster-mine"
	: >"$T/state/precious"
	exits 0 setup
	exits 0 setup --down
	equal "cluster-mine" "$(ls "$T/stub/things")" "things"
	equal "precious" "$(ls -A "$T/state")" "files of somebody else in the state directory"
}

test_dry_run_of_down_removes_nothing() {
	exits 0 setup
	: >"$T/stub/log"
	exits 0 setup --down --dry-run
	equal "" "$(changes)" "changes"
	contains "+ kind delete cluster --name h1 --kubeconfig $T/state/kubeconfig/h1" "$T/out"
	contains "+ docker rmi docker.io/library/kine-shim:0.1.0" "$T/out"
	exits 0 setup
	equal "" "$(changes)" "changes by a run after it"
}

test_status_says_what_is_missing() {
	exits 1 setup --status
	contains "nothing was made" "$T/out"
	exits 0 setup
	exits 0 setup --status
	rm "$T/stub/things/cluster-h3"
	exits 1 setup --status
	contains "h3: no cluster" "$T/out"
}

test_two_at_once_are_refused() {
	exits 0 setup
	mkdir "$T/state/lock"
	printf '%s\n' $$ >"$T/state/lock/pid"
	exits 1 setup
	contains "another setup.sh (process $$) works on" "$T/out"
	# The lock of one that is gone is no hindrance.
	local gone
	(exit 0) &
	gone=$!
	wait $gone
	printf '%s\n' $gone >"$T/state/lock/pid"
	exits 0 setup
}

test_dry_run_changes_nothing() {
	exits 0 setup --dry-run
	equal "" "$(changes)" "changes"
	[ ! -e "$T/state" ] || fail "the state directory was made"
}

test_missing_tools_are_named_all_at_once() {
	mkdir -p "$T/stub" "$T/path"
	local tool
	for tool in bash cat dirname mkdir chmod rm awk sed grep df sort head tail tr ls date sleep cmp mv paste rmdir tee uname cut; do
		ln -s "$(command -v $tool)" "$T/path/$tool"
	done
	local code=0
	PATH=$T/path HELIUM_ENGINE='' "$ROOT/setup.sh" --state-dir "$T/state" >"$T/out" 2>&1 || code=$?
	equal 1 $code "exit code"
	contains "no container engine" "$T/out"
	contains "kind is missing" "$T/out"
	contains "kubectl is missing" "$T/out"
	contains "openssl is missing" "$T/out"
}

test_wrong_arguments_are_refused() {
	local arguments
	while read -r arguments; do
		# shellcheck disable=SC2086
		exits 2 setup $arguments
		contains "setup.sh --help" "$T/out"
	done <<-END
		--store oracle
		--store
		--frobnicate
		--down --status
		--port-base low
		--port-base 80
	END
	[ ! -e "$T/state" ] || fail "something was made"
}

run_tests
