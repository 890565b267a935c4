# shellcheck shell=bash
# Three kind clusters, h1 to h3, that share a store: a YugabyteDB with one node in each, or one PostgreSQL beside
# them. All nodes are on one container network and reach each other by name; nothing else crosses clusters.
#
# Pinned versions; what is newer may work as well, but nobody has tried.
KIND_VERSION=0.33.0
KIND_NODE=docker.io/kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed
POSTGRES_IMAGE=docker.io/library/postgres:17.6
IMAGE_TAG=0.1.0
IMAGES=(kine-shim helium-apiserver helium-agent)

# kind_locate: finds programs and decides what can be decided without asking anything.
kind_locate() {
	CLUSTERS=(h1 h2 h3)
	SERVICE_PORT_OF=https_port
	REGISTRAR=agent # helium-agent runs in each cluster
	KUBECTL=$(command -v kubectl || printf kubectl)
	ENGINE=${HELIUM_ENGINE:-}
	[ -n "$ENGINE" ] || ENGINE=$(cat "$STATE/engine" 2>/dev/null || true)
	local candidate
	for candidate in docker podman nerdctl; do
		[ -n "$ENGINE" ] || ! have "$candidate" || ENGINE=$candidate
	done
	ENGINE=${ENGINE:-docker}
	export KIND_EXPERIMENTAL_PROVIDER=$ENGINE
	# The store that was chosen first stays.
	STORE=$(cat "$STATE/store" 2>/dev/null || printf '%s' "$STORE")
	ELECTION=${HELIUM_BIN:-$ROOT/.cache/bin}/election
	[ -x "$ELECTION" ] || have go || ELECTION=''
}

https_port() { printf 443; }
dir_of() { printf '%s/clusters/%s' "$STATE" "$1"; }
node_of() { printf '%s-control-plane' "$1"; }

# --- step: check

kind_check() {
	local problems=() version needed
	if ! have "$ENGINE"; then
		problems+=("no container engine: install docker, podman or nerdctl, or use --processes, which needs none")
	elif ! "$ENGINE" info >/dev/null 2>&1; then
		problems+=("$ENGINE is installed but doesn't answer ('$ENGINE info' says why)")
	fi
	if ! have kind; then
		problems+=("kind is missing (https://kind.sigs.k8s.io, version $KIND_VERSION)")
	else
		version=$(kind version -q 2>/dev/null || kind version | awk '{ sub("^v", "", $2); print $2 }')
		at_least "$version" "$KIND_VERSION" || problems+=("kind is version $version; the node image needs $KIND_VERSION or newer")
	fi
	if ! have kubectl; then
		problems+=("kubectl is missing (https://kubernetes.io/docs/tasks/tools)")
	else
		version=$(kubectl version --client -o yaml 2>/dev/null | sed -n 's/^  gitVersion: v//p')
		at_least "${version:-0}" 1.30 || problems+=("kubectl is version ${version:-unknown}; 1.30 or newer is needed")
	fi
	have openssl || problems+=("openssl is missing")
	kind_check_names
	local shortages=()
	kind_check_machine
	if [ "${HELIUM_SKIP_MACHINE_CHECK:-0}" = 1 ]; then
		for needed in ${shortages[@]+"${shortages[@]}"}; do warn "$needed (going on: HELIUM_SKIP_MACHINE_CHECK)"; done
	else
		problems+=(${shortages[@]+"${shortages[@]}"})
	fi
	report_problems ${problems[@]+"${problems[@]}"}
}

# kind_check_machine: fills shortages. What is made already has been paid for.
kind_check_machine() {
	[ ! -f "$STATE/owned" ] || return 0
	local value needed=8192
	[ "$STORE" = yugabyte ] || needed=4096
	value=$(free_mib)
	[ "$value" -ge "$needed" ] ||
		shortages+=("$value MiB of memory are available; this store needs $needed (--store postgres needs 4096, --processes 2500)")
	value=$(disk_mib "$STATE")
	[ "$value" -ge 20000 ] || shortages+=("$value MiB are free on the disk; images and clusters need 20000")
	# Too few inotify instances is the usual reason why a second or third kind cluster doesn't come up.
	value=$(cat /proc/sys/fs/inotify/max_user_instances 2>/dev/null || printf 1024)
	[ "$value" -ge 512 ] || shortages+=("fs.inotify.max_user_instances is $value; three clusters need 512 (sudo sysctl fs.inotify.max_user_instances=512)")
	value=$(cat /proc/sys/fs/inotify/max_user_watches 2>/dev/null || printf 524288)
	[ "$value" -ge 524288 ] || shortages+=("fs.inotify.max_user_watches is $value; three clusters need 524288 (sudo sysctl fs.inotify.max_user_watches=524288)")
	if [ -d /sys/fs/cgroup ] && [ ! -f /sys/fs/cgroup/cgroup.controllers ]; then
		shortages+=("this machine has cgroup v1; the Kubernetes of the node image needs cgroup v2")
	fi
}

# A cluster of that name that we didn't make is somebody's.
kind_check_names() {
	have kind || return 0
	local name
	for name in "${CLUSTERS[@]}"; do
		if kind_exists "$name" && ! recorded "cluster $name"; then
			problems+=("a kind cluster named $name exists and isn't from here: remove it (kind delete cluster --name $name) or keep it and use --processes")
		fi
	done
	if [ "$STORE" = postgres ] && "$ENGINE" container inspect helium-postgres >/dev/null 2>&1 && ! recorded "container helium-postgres"; then
		problems+=("a container named helium-postgres exists and isn't from here")
	fi
}

# --- step: clusters

kind_clusters() {
	if ! is_dry; then
		printf '%s\n' "$ENGINE" >"$STATE/engine"
		printf '%s\n' "$STORE" >"$STATE/store"
		mkdir -p "$STATE/kubeconfig"
	fi
	in_parallel kind_create
}

kind_create() {
	local name=$1
	if is_dry || ! kind_exists "$name"; then
		record "cluster $name" # first: a cluster that is half made has to be removed too
		run kind create cluster --name "$name" --config "$ROOT/kind-config/$name.yaml" --image "$KIND_NODE" \
			--kubeconfig "$(kubeconfig_of "$name")" --wait 180s
		is_dry || chmod 0600 "$(kubeconfig_of "$name")"
	fi
	wait_for "$name: its node is ready" 180 node_ready "$name"
}

kind_exists() {
	local all
	all=$(kind get clusters 2>/dev/null || true)
	grep -qx "$1" <<<"$all" # not a pipe: grep ends at the first match, and kind would fail for its sake
}

node_ready() {
	local got
	got=$(kube "$1" get nodes -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}') || return 1
	[ "$got" = True ] || {
		printf '%s: node Ready=%s\n' "$1" "$got"
		return 1
	}
}

# --- step: images

kind_images() {
	local image saved=0 names=() save=(save)
	# podman would take further names for other tags of the first image.
	[ "$ENGINE" != podman ] || save+=(--multi-image-archive)
	for image in "${IMAGES[@]}"; do
		names+=("docker.io/library/$image:$IMAGE_TAG")
		if is_dry || ! "$ENGINE" image inspect "docker.io/library/$image:$IMAGE_TAG" >/dev/null 2>&1; then
			run "$ENGINE" build -f "$ROOT/images/Dockerfile" --target "$image" -t "docker.io/library/$image:$IMAGE_TAG" "$ROOT"
			record "image docker.io/library/$image:$IMAGE_TAG"
		fi
	done
	local name
	for name in "${CLUSTERS[@]}"; do
		if is_dry || ! kind_has_images "$name"; then
			if [ $saved = 0 ]; then
				run "$ENGINE" "${save[@]}" -o "$STATE/images.tar" "${names[@]}"
				saved=1
			fi
			run kind load image-archive "$STATE/images.tar" --name "$name"
		fi
	done
	is_dry || rm -f "$STATE/images.tar"
}

kind_has_images() {
	local image
	for image in "${IMAGES[@]}"; do
		"$ENGINE" exec "$(node_of "$1")" crictl inspecti -q "docker.io/library/$image:$IMAGE_TAG" >/dev/null 2>&1 || return 1
	done
}

# --- step: certificates

kind_certificates() { in_parallel kind_secrets; }

# kind_secrets CLUSTER: authorities and leaf certificates of one cluster. The authorities' keys stay here.
kind_secrets() {
	local name=$1 dir
	dir=$(dir_of "$name")
	cluster_certificates_for_pods "$dir" "$name"
	is_dry || cluster_objects "$name" "$dir" | write_file "$dir/objects.yaml" 0600
	if is_dry || ! kube "$name" get -n helium-system secret/helium-apiserver-tls secret/kine-shim-tls secret/helium-store-client-tls \
		configmap/helium-cluster >/dev/null 2>&1; then
		run_kube "$name" apply -f "$dir/objects.yaml"
	fi
}

# --- step: database

kind_database() {
	secret "$STATE/secrets/database"
	"${STORE}_database"
	each kind_database_url
}

# kind_database_url CLUSTER: tells its kine-shim where the database is, the cluster's own node first.
kind_database_url() {
	local name=$1 hosts='' other file=$STATE/secrets/database-$1.yaml
	if [ "$STORE" = yugabyte ]; then
		hosts=$(node_of "$name"):5433
		for other in "${CLUSTERS[@]}"; do [ "$other" = "$name" ] || hosts+=,$(node_of "$other"):5433; done
	else
		hosts=helium-postgres:5432
	fi
	if is_dry; then plan "write $file"; else
		write_file "$file" 0600 <<-END
			apiVersion: v1
			kind: Secret
			metadata: { name: helium-database, namespace: helium-system }
			stringData:
			  endpoint: postgres://helium:$(cat "$STATE/secrets/database")@$hosts/helium?sslmode=disable
		END
	fi
	if is_dry || ! kube "$name" get -n helium-system secret helium-database >/dev/null 2>&1; then
		run_kube "$name" apply -f "$file"
	fi
}

postgres_database() {
	local file=$STATE/secrets/postgres.env
	is_dry || printf 'POSTGRES_USER=helium\nPOSTGRES_DB=helium\nPOSTGRES_PASSWORD=%s\n' "$(cat "$STATE/secrets/database")" | write_file "$file" 0600
	if is_dry || ! "$ENGINE" container inspect helium-postgres >/dev/null 2>&1; then
		record "container helium-postgres"
		run "$ENGINE" run --detach --name helium-postgres --network kind --env-file "$file" "$POSTGRES_IMAGE"
	elif [ "$("$ENGINE" container inspect -f '{{.State.Running}}' helium-postgres)" != true ]; then
		run "$ENGINE" start helium-postgres
	fi
	wait_for "PostgreSQL answers" 120 "$ENGINE" exec helium-postgres pg_isready -h 127.0.0.1 -U helium -d helium
}

yugabyte_database() {
	local name
	secret "$STATE/secrets/yugabyte"
	# One after the other: the second and third join the first.
	for name in "${CLUSTERS[@]}"; do yugabyte_node "$name"; done
	wait_for "YugabyteDB has three live nodes" 300 yugabyte_live 3
	if is_dry || [ ! -f "$STATE/placement" ]; then
		run_kube "${CLUSTERS[0]}" exec -n yugabyte yugabyted-0 -- /home/yugabyte/bin/yugabyted configure data_placement \
			--fault_tolerance=region --base_dir=/mnt/state/yugabyted
		is_dry || timestamp >"$STATE/placement"
	fi
	yugabyte_role
}

yugabyte_node() {
	local name=$1
	password_secret "$name" yugabyte-password yugabyte "$STATE/secrets/yugabyte"
	if is_dry || ! kube "$name" get -n yugabyte statefulset yugabyted >/dev/null 2>&1; then
		run_kube "$name" apply -k "$ROOT/yugabyte/$name"
	fi
	wait_for "$name: its YugabyteDB node is ready" 420 workload_ready "$name" yugabyte statefulset/yugabyted
}

# password_secret CLUSTER NAME NAMESPACE FILE: a Secret with key password, and its namespace.
password_secret() {
	local file=$STATE/secrets/$2.yaml
	if is_dry; then plan "write $file"; else
		write_file "$file" 0600 <<-END
			apiVersion: v1
			kind: Namespace
			metadata: { name: $3, labels: { pod-security.kubernetes.io/enforce: privileged } }
			---
			apiVersion: v1
			kind: Secret
			metadata: { name: $2, namespace: $3 }
			stringData: { password: "$(cat "$4")" }
		END
	fi
	if is_dry || ! kube "$1" get -n "$3" secret "$2" >/dev/null 2>&1; then
		run_kube "$1" apply -f "$file"
	fi
}

# yugabyte_live COUNT: whether that many nodes take part. The password is the pod's own.
yugabyte_live() {
	local got
	# shellcheck disable=SC2016 # expanded in the pod
	got=$(kube "${CLUSTERS[0]}" exec -n yugabyte yugabyted-0 -- sh -c \
		'PGPASSWORD=$YSQL_PASSWORD exec /home/yugabyte/bin/ysqlsh -X -h h1-control-plane -U yugabyte -Atc "SELECT count(*) FROM yb_servers()"') || return 1
	[ "$got" -ge "$1" ] || {
		printf '%s of %s nodes\n' "$got" "$1"
		return 1
	}
}

yugabyte_role() {
	local first=${CLUSTERS[0]}
	password_secret "$first" helium-role-password yugabyte "$STATE/secrets/database"
	if is_dry || ! kube "$first" get -n yugabyte job helium-database >/dev/null 2>&1; then
		[ ! -f "$STATE/role-done" ] || return 0 # the Job removes itself after a day
		run_kube "$first" apply -k "$ROOT/yugabyte/database"
	fi
	wait_for "the database and its role are made" 180 job_done "$first" yugabyte helium-database
	is_dry || timestamp >"$STATE/role-done"
}

job_done() {
	local got
	got=$(kube "$1" get -n "$2" job "$3" -o 'jsonpath={.status.succeeded}/{.status.failed}') || return 1
	case $got in 1/*) ;; *)
		printf 'job %s: succeeded/failed = %s\n' "$3" "$got"
		return 1
		;;
	esac
}

# workload_ready CLUSTER NAMESPACE KIND/NAME: whether all its pods are ready; says which aren't, and why.
workload_ready() {
	local got
	got=$(kube "$1" get -n "$2" "$3" -o 'jsonpath={.status.readyReplicas}/{.spec.replicas}') || return 1
	[ "${got%/*}" = "${got#*/}" ] && return
	printf '%s: %s has %s pods ready\n' "$1" "$3" "$got"
	kube "$1" get -n "$2" pods --no-headers 2>/dev/null
	kube "$1" get -n "$2" events --field-selector type=Warning --no-headers 2>/dev/null | tail -n 3
	return 1
}

# --- step: helium

kind_helium() { in_parallel kind_install; }

kind_install() {
	local name=$1 workload
	if is_dry || ! kind_installed "$name"; then
		run_kube "$name" apply -k "$ROOT/manifests/overlays/$STORE"
	fi
	for workload in kine-shim helium-apiserver helium-agent; do
		wait_for "$name: $workload is ready" 240 workload_ready "$name" helium-system "deployment/$workload"
	done
}

kind_installed() { kube "$1" get -n helium-system deployment kine-shim helium-apiserver helium-agent >/dev/null 2>&1; }

kind_register() { in_parallel register_builtin; }

# kind_candidates: the program that stands for election in the demonstration.
kind_candidates() {
	[ -n "$ELECTION" ] || return 0
	if [ ! -x "$ELECTION" ]; then
		note "building the election program of the demonstration"
		(cd "$ROOT/tests/kubernetes" && CGO_ENABLED=0 run go build -o "$ELECTION" ./election)
	fi
}

# --- a cluster's death and return

# At once; but by stop, after which no engine starts it again by itself.
cluster_kill() { run "$ENGINE" stop -t 0 "$(node_of "$1")"; }

cluster_revive() {
	run "$ENGINE" start "$(node_of "$1")"
	wait_for "$1: its node is ready" 300 node_ready "$1"
	local workload pair
	for workload in kine-shim helium-apiserver helium-agent; do
		wait_for "$1: $workload is ready" 300 workload_ready "$1" helium-system "deployment/$workload"
	done
	for pair in "${BUILTIN_GROUPS[@]}" "${EXAMPLE_GROUPS[@]}"; do
		wait_for "$1 serves $pair" 120 apiservice_available "$1" "$pair"
	done
}

# --- commands of the profile

kind_up() {
	step "check what is needed" kind_check
	step "three kind clusters" kind_clusters
	step "images" kind_images
	step "certificates" kind_certificates
	step "database: $STORE" kind_database
	step "kine-shim, helium-apiserver and helium-agent in each" kind_helium
	step "Helium's groups in each" kind_register
	step "three shared kinds, defined in ${CLUSTERS[0]}" demo_kinds
	[ "$DEMO" = 0 ] || step "the candidates' program" kind_candidates
}

kind_status() {
	local name down=0
	for name in "${CLUSTERS[@]}"; do
		if ! kind_exists "$name"; then
			printf '%s: no cluster\n' "$name"
			down=$((down + 1))
			continue
		fi
		printf '%s:\n' "$name"
		kube "$name" get pods -A --field-selector metadata.namespace!=kube-system 2>&1 | sed 's/^/   /' || down=$((down + 1))
		kube "$name" get apiservices -l app.kubernetes.io/managed-by=helium 2>&1 | sed 's/^/   /' || true
	done
	return $((down > 0))
}

kind_down() {
	local records=() entry
	[ ! -f "$STATE/owned" ] || mapfile -t records < <(tac "$STATE/owned")
	for entry in ${records[@]+"${records[@]}"}; do
		case $entry in
		"process "*) process_stop "${entry#process }" ;;
		"cluster "*) run kind delete cluster --name "${entry#cluster }" --kubeconfig "$(kubeconfig_of "${entry#cluster }")" ;;
		"container "*) run "$ENGINE" rm --force --volumes "${entry#container }" ;;
		"image "*) run "$ENGINE" rmi "${entry#image }" ;;
		*)
			warn "skipped an unknown record: $entry"
			continue
			;;
		esac
		forget "$entry"
	done
	is_dry || rm -f "$STATE/"{engine,store,placement,role-done,images.tar}
}
