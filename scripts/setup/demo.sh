# shellcheck shell=bash
# The demonstration: kinds defined in one cluster, an object and a Lease written through one and read
# through the others, a leader of three that moves when its cluster dies, and a payload that moves between two. The same
# for every profile.
#
# Uses from the profile: CLUSTERS, KUBECTL, ELECTION (program, or empty), cluster_kill, cluster_revive, and HELIUM (program, unset
# where clusters aren't members).

EXAMPLES=$ROOT/manifests/examples
FAILOVER=$ROOT/manifests/failover

definitions_established() { # definitions_established CLUSTER
	local name got
	for name in festivals.innsmouth.example.com deepones.innsmouth.example.com poseidons.olympus.example.com; do
		got=$(kube "$1" get sharedresourcedefinition "$name" -o 'jsonpath={.status.conditions[?(@.type=="Established")].status}') || return 1
		[ "$got" = True ] || {
			printf '%s: %s is not established\n' "$1" "$name"
			return 1
		}
	done
}

demo_kinds() {
	local first=${CLUSTERS[0]} name
	if is_dry || ! definitions_established "$first" >/dev/null 2>&1; then
		run_kube "$first" apply -f "$EXAMPLES/definitions.yaml"
	fi
	for name in "${CLUSTERS[@]}"; do
		wait_for "$name knows the three kinds" 60 definitions_established "$name"
	done
	in_parallel register_examples
}

# identity CLUSTER ARGUMENT…: uid and resourceVersion of an object as one cluster shows it.
identity() {
	local cluster=$1
	shift
	kube "$cluster" get "$@" -o 'jsonpath={.metadata.uid} {.metadata.resourceVersion}'
}

# same_everywhere ARGUMENT…: an object has one identity in all clusters.
same_everywhere() {
	local first other name
	first=$(identity "${CLUSTERS[0]}" "$@") || return 1
	for name in "${CLUSTERS[@]:1}"; do
		other=$(identity "$name" "$@") || return 1
		[ "$first" = "$other" ] || {
			printf '%s has "%s", %s has "%s"\n' "${CLUSTERS[0]}" "$first" "$name" "$other"
			return 1
		}
	done
	printf '%s' "$first"
}

# watch_start CLUSTER FILE: writes "milliseconds name" to FILE for each Festival that a watch shows.
watch_start() {
	local cluster=$1 file=$2 line
	: >"$file"
	# exec: the process that is ended is kubectl itself, not a shell around it.
	(exec "$KUBECTL" --kubeconfig "$(kubeconfig_of "$cluster")" get festivals -n default --watch \
		-o 'jsonpath={.metadata.name}{"\n"}' 2>>"$STATE/logs/demo.log" </dev/null) >"$file.pipe" &
	WATCHERS+=($!)
	(while read -r line; do printf '%s %s\n' "$(now_ms)" "$line"; done <"$file.pipe" >>"$file") &
	WATCHERS+=($!)
}

watch_stop() {
	local pid
	for pid in ${WATCHERS[@]+"${WATCHERS[@]}"}; do kill "$pid" 2>/dev/null || true; done
	for pid in ${WATCHERS[@]+"${WATCHERS[@]}"}; do wait "$pid" 2>/dev/null || true; done
	WATCHERS=()
}

watch_saw() { grep -q " $2\$" "$1"; }

demo_object() {
	local first=${CLUSTERS[0]} name began answered seen folder=$STATE/demo
	if is_dry; then
		run_kube "$first" apply -f "$EXAMPLES/festival.yaml"
		plan "watch festivals through ${CLUSTERS[*]:1}; create one more through $first; compare uid and resourceVersion"
		return
	fi
	mkdir -p "$folder"
	run_kube "$first" apply -f "$EXAMPLES/festival.yaml"
	run_kube "$first" delete festival -n default walpurgis --ignore-not-found
	WATCHERS=()
	trap watch_stop EXIT
	for name in "${CLUSTERS[@]:1}"; do
		rm -f "$folder/$name.pipe"
		mkfifo "$folder/$name.pipe"
		watch_start "$name" "$folder/$name"
	done
	for name in "${CLUSTERS[@]:1}"; do
		wait_for "the watch through $name shows what is there" 30 watch_saw "$folder/$name" candlemas
	done
	sed 's/candlemas/walpurgis/' "$EXAMPLES/festival.yaml" >"$folder/festival.yaml"
	began=$(now_ms)
	run_kube "$first" create -f "$folder/festival.yaml"
	answered=$(now_ms)
	note "festival walpurgis: created through $first in $((answered - began)) ms, kubectl's own start included"
	for name in "${CLUSTERS[@]:1}"; do
		wait_for "the watch through $name shows the new festival" 30 watch_saw "$folder/$name" walpurgis
		seen=$(awk '$2 == "walpurgis" { print $1; exit }' "$folder/$name")
		if [ "$seen" -le "$answered" ]; then
			note "$name: on a watch there $((seen - began)) ms after that command began, before it had returned"
		else
			note "$name: on a watch there $((seen - answered)) ms after the command had returned"
		fi
		measure "object seen in $name after the create command began" $((seen - began)) ms
	done
	watch_stop
	trap - EXIT
	note "one uid and one resourceVersion in all: $(same_everywhere festival -n default walpurgis)"
	kube "${CLUSTERS[2]}" get festivals -n default | sed 's/^/      /'
}

demo_lease() {
	local first=${CLUSTERS[0]} second=${CLUSTERS[1]} third=${CLUSTERS[2]} folder=$STATE/demo holder refusal
	if is_dry; then
		run_kube "$second" apply -f "$EXAMPLES/lease.yaml"
		plan "take the Lease through $third; see it through $first; a replace with the old resourceVersion must be refused"
		return
	fi
	mkdir -p "$folder"
	run_kube "$second" apply -f "$EXAMPLES/lease.yaml"
	kube "$first" get leases.coordination.helium.dev -n default example -o yaml >"$folder/lease-before.yaml"
	run_kube "$third" patch leases.coordination.helium.dev -n default example --type=merge \
		-p "{\"spec\":{\"holderIdentity\":\"$third-$(now_ms)\"}}"
	holder=$(kube "$first" get leases.coordination.helium.dev -n default example -o 'jsonpath={.spec.holderIdentity}')
	case $holder in "$third"-*) note "lease example: written through $second, taken through $third, $first reads holder $holder" ;; *)
		die "$first reads the holder '$holder', but the lease was taken through $third"
		;;
	esac
	if refusal=$(kube "$first" replace -f "$folder/lease-before.yaml" 2>&1); then
		die "a replace with an old resourceVersion was accepted by $first: $refusal"
	fi
	case $refusal in *Conflict*) note "a replace through $first with the resourceVersion from before is refused: Conflict" ;; *)
		die "a replace with an old resourceVersion was refused for another reason: $refusal"
		;;
	esac
}

# --- leader election

candidate_start() { # candidate_start CLUSTER: one candidate of three, in and through that cluster
	process_start "candidate-$1" - "$ELECTION" --kubeconfig "$(kubeconfig_of "$1")" --group coordination.helium.dev \
		--namespace default --name demo-leader --identity "$1"
}

# event CLUSTER NAME: when, in nanoseconds since boot, a candidate last printed an event.
event() {
	sed -n "/\"event\":\"$2\"/s/.*\"boot\":\([0-9]*\).*/\1/p" "$STATE/logs/candidate-$1.log" | tail -n 1
}

leads() { # leads CLUSTER: whether its candidate says that it leads
	local started stopped
	started=$(event "$1" started) stopped=$(event "$1" stopped)
	[ -n "$started" ] && [ "$started" -gt "${stopped:-0}" ]
}

leader_among() { # leader_among CLUSTER…: prints which of them leads
	local name
	for name in "$@"; do
		process_alive "candidate-$name" >/dev/null || {
			printf 'candidate-%s ended\n' "$name"
			return 99
		}
	done
	for name in "$@"; do
		if leads "$name"; then
			printf '%s' "$name"
			return
		fi
	done
	printf 'none of %s leads\n' "$*"
	return 1
}

candidate_stopped() { [ "$(event "$1" stopped)" -gt "$2" ] 2>/dev/null; }

demo_leader() {
	local name old new rest=() began moved observed started stopped
	if [ -z "$ELECTION" ]; then
		note "left out: the candidate program needs Go 1.26 to be built (tests/kubernetes/election)"
		return
	fi
	each candidate_start
	if is_dry; then
		plan "wait until one leads; kill its cluster; wait until another leads; start the cluster again"
		return
	fi
	wait_for "one of three candidates leads" 60 leader_among "${CLUSTERS[@]}"
	old=$(leader_among "${CLUSTERS[@]}")
	for name in "${CLUSTERS[@]}"; do [ "$name" = "$old" ] || rest+=("$name"); done
	note "three candidates, one in each cluster, with client-go's own leader election: $old leads"
	started=$(event "$old" started)
	began=$(now_ms)
	note "killing all servers of $old …"
	cluster_kill "$old"
	wait_for "the candidate in $old notices that it can't renew" 30 candidate_stopped "$old" "$started"
	wait_for "another one leads" 60 leader_among "${rest[@]}"
	moved=$(now_ms)
	new=$(leader_among "${rest[@]}")
	observed=$(kube "$new" get leases.coordination.helium.dev -n default demo-leader -o 'jsonpath={.spec.holderIdentity}')
	[ "$observed" = "$new" ] || die "the candidate of $new says that it leads, but the Lease names '$observed'"
	stopped=$(event "$old" stopped) started=$(event "$new" started)
	[ "$stopped" -le "$started" ] || die "$old stopped leading only after $new had begun"
	note "$new leads, $(((moved - began) / 1000)).$(((moved - began) % 1000 / 100)) s after the kill (the lease lasts 5 s);"
	note "$old had stopped $(((started - stopped) / 1000000)) ms before $new began: never two at once"
	measure "leader moved after its cluster was killed" $((moved - began)) ms
	note "starting $old again …"
	cluster_revive "$old"
	wait_for "$old shows what the others show" 60 same_everywhere festival -n default walpurgis
	note "$old is back, with the same objects"
	for name in "${CLUSTERS[@]}"; do process_stop "candidate-$name"; done
}

# demo_fleet: who takes part, and that nothing is wrong in any cluster. For profiles whose clusters are members.
demo_fleet() {
	local name
	if is_dry; then
		plan "helium members through ${CLUSTERS[0]}; helium doctor in each of ${CLUSTERS[*]}"
		return
	fi
	for name in "${CLUSTERS[@]}"; do
		wait_for "helium doctor finds nothing wrong in $name" 90 "$HELIUM" doctor --kubeconfig "$(kubeconfig_of "$name")"
	done
	"$HELIUM" members --kubeconfig "$(kubeconfig_of "${CLUSTERS[0]}")" | sed 's/^/   /'
	"$HELIUM" doctor --kubeconfig "$(kubeconfig_of "${CLUSTERS[0]}")" | sed 's/^/   /'
}

# --- a payload that runs in one of two clusters

failover() { # failover CLUSTER ARGUMENT…: helium failover through a cluster
	local cluster=$1
	shift
	"$HELIUM" failover "$@" --kubeconfig "$(kubeconfig_of "$cluster")"
}

multiclusters_registered() {
	local got
	got=$(kube "$1" get sharedresourcedefinition multiclusters.kube-vip.io \
		-o 'jsonpath={.status.conditions[?(@.type=="Registered")].status}') || return 1
	[ "$got" = True ] || {
		printf 'multiclusters.kube-vip.io is not registered everywhere\n'
		return 1
	}
	kube "$1" get multiclusters -n default >/dev/null
}

payload_led_by() { # payload_led_by CLUSTER: it leads the group, as another one shows it, and has the payload
	local row
	row=$(failover "${CLUSTERS[2]}" status webfront -n default -o json) || return 1
	case $row in *"\"leader\":\"$1\""*'"condition":"Led"'*) ;; *)
		printf '%s\n' "$row"
		return 1
		;;
	esac
	kube "$1" get deployment -n default webfront >/dev/null
}

stands_by() { # stands_by CLUSTER: it is a member that may lead, as another one shows it
	local row
	row=$(failover "${CLUSTERS[2]}" status webfront -n default) || return 1
	printf '%s\n' "$row" | grep -Eq "^ *$1 .* Candidate" || {
		printf '%s\n' "$row"
		return 1
	}
}

payload_only_in() { # payload_only_in CLUSTER: the others have none of it
	local name
	for name in "${CLUSTERS[@]}"; do
		[ "$name" = "$1" ] || [ -z "$(kube "$name" get deployment -n default webfront --ignore-not-found -o name)" ] || {
			printf '%s has the payload too\n' "$name"
			return 1
		}
	done
}

multiclusters_gone() {
	local name
	for name in "${CLUSTERS[@]:0:2}"; do
		[ -z "$(kube "$name" get multiclusters -n default -o name)" ] || {
			printf '%s still has a MultiCluster\n' "$name"
			return 1
		}
	done
}

demo_failover() {
	local low=${CLUSTERS[0]} high=${CLUSTERS[1]} other=${CLUSTERS[2]} name
	run_kube "$low" apply -f "$FAILOVER/definition.yaml"
	wait_for "all clusters serve MultiClusters" 60 multiclusters_registered "$low"
	wait_for "$high serves MultiClusters" 60 multiclusters_registered "$high"
	run_kube "$low" apply -f "$FAILOVER/examples/newyork.yaml"
	run_kube "$high" apply -f "$FAILOVER/examples/sheffield.yaml"
	if is_dry; then
		plan "wait until $high leads; hand over to $low; let ranks decide again; delete both"
		return
	fi
	wait_for "sheffield, in $high, leads" 60 payload_led_by "$high"
	wait_for "newyork, in $low, stands by" 60 stands_by "$low"
	payload_only_in "$high"
	note "newyork in $low (rank 5), sheffield in $high (rank 10): the payload runs in $high, and there alone"
	failover "$other" status | sed 's/^/      /'
	failover "$other" handover webfront -n default --to "$low" 2>&1 | sed 's/^/      /'
	payload_led_by "$low" >/dev/null
	payload_only_in "$low"
	note "the payload runs in $low, and there alone"
	failover "$other" handover webfront -n default --undo | sed 's/^/      /'
	wait_for "$high leads again" 60 payload_led_by "$high"
	failover "$other" history webfront -n default | sed 's/^/      /'
	for name in "$low newyork" "$high sheffield"; do
		run_kube "${name% *}" delete multicluster -n default "${name#* }" --wait=false
	done
	wait_for "both members are gone" 60 multiclusters_gone
	payload_only_in nowhere
	note "both members are deleted, and with them the payload"
}

demo_run() {
	step "an object, written through ${CLUSTERS[0]}" demo_object
	step "a Lease that all share" demo_lease
	step "a leader of three, and its cluster's death" demo_leader
	[ -z "${HELIUM:-}" ] || step "a payload that runs in one cluster, and moves" demo_failover
	[ -z "${HELIUM:-}" ] || step "the fleet's members, and what helium doctor says" demo_fleet
	is_dry || timestamp >"$STATE/demo-done"
}

demo_next() {
	local first=${CLUSTERS[0]} last=${CLUSTERS[2]} folder=$STATE/kubeconfig
	is_dry && return
	cat <<-END

		Three clusters share an API. Each has a kubeconfig of its own in $folder:

		  K=$(quoted "$folder")
		  kubectl --kubeconfig "\$K/$last" get festivals -A --watch &
		  kubectl --kubeconfig "\$K/$first" patch festival candlemas --type=merge -p '{"spec":{"year":2027}}'
		  kubectl --kubeconfig "\$K/$first" get leases.coordination.helium.dev -A
		  kubectl --kubeconfig "\$K/$last" explain festival.spec

		$AGAIN --status    what runs
		$AGAIN --demo      the demonstration once more
		$AGAIN --down      stop and remove all of it
		Report: $STATE/report.json    Logs: $STATE/logs    kubectl, if you have none: $KUBECTL
	END
}
