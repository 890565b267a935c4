# shellcheck shell=bash
# Three real clusters as plain processes on this machine: kube-apiserver and kube-controller-manager on a
# kine-shim of their own over SQLite; beside them a kine-shim on the common PostgreSQL and a helium-apiserver.
# No container engine, no root, no node: what runs is the control plane, so there are no pods.
#
# The first cluster makes itself the fleet's first member, the others join with tokens. Each has its own authority, its own
# role in the database, and a kine-shim that lets in members alone.
#
# The aggregator reaches helium-apiserver through a Service of type ExternalName that points at localhost.
#
# With --drill the ways between the parts lead through a relay, one process for each cluster, in which helium drill can cut them.

# --- where everything is

# port OFFSET: ports are numbered from one base, which is chosen once.
port() { printf '%s' $(($(cat "$STATE/port-base" 2>/dev/null || printf '%s' "$PORT_BASE") + $1)); }
postgres_port() { port 0; }
cluster_port() { port $((10 * ${1#cluster} + $2)); }
api_port() { cluster_port "$1" 0; }
helium_port() { cluster_port "$1" 1; }
shim_port() { cluster_port "$1" 2; }
host_store_port() { cluster_port "$1" 3; }
agent_port() { cluster_port "$1" 4; }

# A cluster's links, in the order of their ports: from the agent to helium-apiserver and to the cluster's own kube-apiserver, from helium-apiserver to
# kine-shim, from kine-shim to PostgreSQL, and from the other kine-shims to this one.
LINKS=(control-plane kubernetes store database peers)

# is_linked: whether this fleet's ways lead through relays; chosen when it is first brought up.
is_linked() { if is_dry || [ ! -d "$STATE/links" ]; then [ "$DRILL" = 1 ]; else true; fi; }

# way CLUSTER LINK PORT: the port by which a port is reached on a way that may be cut.
way() {
	local place=0
	if is_linked; then
		while [ "${LINKS[$place]}" != "$2" ]; do place=$((place + 1)); done
		cluster_port "$1" $((5 + place))
	else
		printf '%s' "$3"
	fi
}
dir_of() { printf '%s/clusters/%s' "$STATE" "$1"; }
fleet_of() { printf '%s/fleet' "$(dir_of "$1")"; } # as helium init and helium join make it

postgres_programs() {
	local found
	found=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres /opt/homebrew/opt/postgresql*/bin/postgres |
		grep -vF '*' | sort -V | tail -n 1)
	[ -n "$found" ] || found=$(command -v postgres) || return 1
	dirname "$found"
}

# unprivileged: words to put before a command that PostgreSQL refuses to run as root.
unprivileged() {
	[ "$(id -u)" = 0 ] || return 0
	local user
	for user in postgres nobody; do
		if id "$user" >/dev/null 2>&1; then
			printf 'setpriv --reuid=%s --regid=%s --init-groups --' "$user" "$(id -gn "$user")"
			return
		fi
	done
	return 1
}

# processes_locate: finds programs, without building anything.
processes_locate() {
	CLUSTERS=(cluster1 cluster2 cluster3)
	SERVICE_PORT_OF=helium_port
	SERVERS=${HELIUM_SERVERS:-${CARGO_TARGET_DIR:-$ROOT/target}/release}
	COMPONENTS=${HELIUM_BIN:-$ROOT/.cache/bin}
	KUBECTL=$COMPONENTS/kubectl
	HELIUM=$SERVERS/helium
	REGISTRAR=agent
	ELECTION=$COMPONENTS/election
}

# --- step: check

processes_check() {
	local problems=() pg
	have openssl || problems+=("openssl is missing (Debian: apt-get install openssl)")
	have curl || problems+=("curl is missing (Debian: apt-get install curl)")
	if pg=$(postgres_programs); then
		[ -x "$pg/initdb" ] && [ -x "$pg/psql" ] || problems+=("$pg has no initdb or no psql")
	else
		problems+=("PostgreSQL's server programs are missing, version 13 or newer (Debian: apt-get install postgresql)")
	fi
	if ! unprivileged >/dev/null; then
		problems+=("PostgreSQL refuses to run as root, and there is no user postgres or nobody: run this as an ordinary user")
	elif [ "$(id -u)" = 0 ] && ! is_dry && ! (
		# shellcheck disable=SC2046
		$(unprivileged) test -x "$STATE"
	); then
		problems+=("user postgres can't enter $STATE: choose a --state-dir such as /var/tmp/helium, or run as an ordinary user")
	fi
	if [ -z "${HELIUM_SERVERS:-}" ]; then
		have cargo || problems+=("Rust is missing (https://rustup.rs), and HELIUM_SERVERS names no folder with helium, kine-shim, helium-apiserver and helium-agent")
		have cc || problems+=("a C compiler is missing (Debian: apt-get install build-essential)")
	else
		local program
		for program in "${PROGRAMS[@]}"; do
			[ -x "$SERVERS/$program" ] || problems+=("$SERVERS/$program is missing (HELIUM_SERVERS)")
		done
	fi
	if ! components_there; then
		have go || problems+=("Go 1.26 is missing (https://go.dev/dl): the real kube-apiserver is built with it")
	fi
	local free
	free=$(free_mib)
	[ "$free" -ge 2500 ] || problems+=("$free MiB of memory are available; three clusters need 2500")
	free=$(disk_mib "$STATE")
	if ! components_there || [ -z "${HELIUM_SERVERS:-}" ]; then
		[ "$free" -ge 12000 ] || problems+=("$free MiB are free on the disk; building everything needs 12000")
	else
		[ "$free" -ge 1000 ] || problems+=("$free MiB are free on the disk; running needs 1000")
	fi
	processes_ports || problems+=("$PORT_PROBLEM")
	report_problems ${problems[@]+"${problems[@]}"}
}

components_there() { [ -x "$KUBECTL" ] && [ -x "$COMPONENTS/kube-apiserver" ] && [ -x "$COMPONENTS/kube-controller-manager" ] && [ -x "$COMPONENTS/election" ]; }

# processes_ports: chooses the ports, once: the first block of forty that nobody listens on.
processes_ports() {
	[ ! -f "$STATE/port-base" ] || return 0
	local base=$PORT_BASE tries=0
	while ! ports_free "$base"; do
		PORT_PROBLEM="port $BUSY_PORT is in use; choose another --port-base than $base"
		[ "$PORT_BASE_GIVEN" = 0 ] && [ $tries -lt 50 ] || return 1
		tries=$((tries + 1)) base=$((base + 100))
	done
	if is_dry; then PORT_BASE=$base; else
		changed
		printf '%s\n' "$base" >"$STATE/port-base"
	fi
}

ports_free() {
	local cluster offset
	for cluster in 0 1 2 3; do
		for offset in 0 1 2 3 4 5 6 7 8 9; do
			BUSY_PORT=$(($1 + 10 * cluster + offset))
			port_free "$BUSY_PORT" || return 1
		done
	done
}

# --- step: programs

PROGRAMS=(helium kine-shim helium-apiserver helium-agent)

processes_build() {
	if [ -z "${HELIUM_SERVERS:-}" ]; then
		local program crates=(-p helium-cli -p kine-shim -p helium-apiserver -p helium-controllers)
		if servers_stale; then
			note "building helium, kine-shim, helium-apiserver and helium-agent (cold: about ten minutes on two cores)"
			run cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" "${crates[@]}"
			# cargo leaves a binary alone that came out the same.
			is_dry || for program in "${PROGRAMS[@]}"; do touch -c "$SERVERS/$program"; done
		fi
	fi
	if ! components_there; then
		note "building the real kube-apiserver (cold: about five minutes on two cores)"
		HELIUM_BIN=$COMPONENTS run "$ROOT/tests/build.sh" kubernetes
	fi
}

# servers_stale: whether one of our programs is missing, or older than a source.
servers_stale() {
	local program
	for program in "${PROGRAMS[@]}"; do
		[ -x "$SERVERS/$program" ] || return 0
		[ -z "$(find "$ROOT/crates" "$ROOT/kine-shim" "$ROOT/apiserver" "$ROOT/controllers" "$ROOT/cli" "$ROOT/Cargo.lock" \
			\( -name '*.rs' -o -name Cargo.lock \) -newer "$SERVERS/$program" -print -quit)" ] || return 0
	done
	return 1
}

# --- step: certificates

processes_certificates() { each cluster_certificates; }

cluster_certificates() {
	local name=$1 dir server
	dir=$(dir_of "$name")
	server=https://127.0.0.1:$(api_port "$name")
	authority "$dir" ca
	authority "$dir" front-proxy-ca
	certificate "$dir" ca kube-apiserver kube-apiserver '' DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.0.0.1
	certificate "$dir" front-proxy-ca front-proxy front-proxy-client
	certificate "$dir" ca admin admin system:masters
	certificate "$dir" ca controller-manager system:kube-controller-manager
	# They are to have exactly the rights that manifests/base gives to the pods' service accounts.
	certificate "$dir" ca helium-apiserver system:serviceaccount:helium-system:helium-apiserver
	certificate "$dir" ca helium-agent system:serviceaccount:helium-system:helium-agent
	signing_keys "$dir"
	kubeconfig "$(kubeconfig_of "$name")" "$name" "$server" "$dir/ca.crt" "$dir/admin.crt" "$dir/admin.key"
	kubeconfig "$STATE/kubeconfig/$name-direct" "$name-direct" "https://127.0.0.1:$(helium_port "$name")" \
		"$(fleet_of "$name")/helium-ca.crt" "$dir/admin.crt" "$dir/admin.key"
	local user
	for user in controller-manager helium-apiserver; do
		kubeconfig "$dir/$user.kubeconfig" "$name" "$server" "$dir/ca.crt" "$dir/$user.crt" "$dir/$user.key"
	done
	kubeconfig "$dir/helium-agent.kubeconfig" "$name" "https://127.0.0.1:$(way "$name" kubernetes "$(api_port "$name")")" \
		"$dir/ca.crt" "$dir/helium-agent.crt" "$dir/helium-agent.key"
	kubeconfig "$dir/helium-agent-direct.kubeconfig" "$name" "https://127.0.0.1:$(way "$name" control-plane "$(helium_port "$name")")" \
		"$(fleet_of "$name")/helium-ca.crt" "$dir/helium-agent.crt" "$dir/helium-agent.key"
}

# --- step: database

processes_postgres() {
	local pg dir=$STATE/postgres as
	pg=$(postgres_programs) || die "PostgreSQL's server programs are missing"
	read -ra as <<<"$(unprivileged)"
	secret "$STATE/secrets/postgres"
	if is_dry || [ ! -f "$dir/data/PG_VERSION" ]; then
		is_dry || prepare_postgres "$dir"
		record "directory $dir"
		run ${as[@]+"${as[@]}"} "$pg/initdb" -D "$dir/data" -U postgres --pwfile="$dir/password" -A scram-sha-256 -E UTF8 --locale=C
		is_dry || rm -f "$dir/password"
	fi
	process_start postgres - ${as[@]+"${as[@]}"} "$pg/postgres" -D "$dir/data" -p "$(postgres_port)" \
		-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100 -c shared_buffers=64MB
	if ! is_dry; then
		(umask 077 && printf '127.0.0.1:*:*:postgres:%s\n' "$(cat "$STATE/secrets/postgres")" >"$STATE/secrets/pgpass")
	fi
	wait_for "PostgreSQL answers" 60 process_ready postgres database_sql postgres 'SELECT 1'
	# helium makes a role in it for each cluster.
	if is_dry || [ "$(database_sql postgres "SELECT count(*) FROM pg_database WHERE datname = 'helium'")" != 1 ]; then
		printf 'CREATE DATABASE helium;\n' | write_file "$STATE/secrets/database.sql" 0600
		PGPASSFILE=$STATE/secrets/pgpass run_from "$STATE/secrets/database.sql" "$pg/psql" -XqAt -v ON_ERROR_STOP=1 \
			-h 127.0.0.1 -p "$(postgres_port)" -U postgres -d postgres -f -
	fi
}

# database_url: the administrator's URL of the database. It holds a password: only for environments.
database_url() {
	is_dry || printf 'postgres://postgres:%s@127.0.0.1:%s/helium?sslmode=disable' "$(cat "$STATE/secrets/postgres")" "$(postgres_port)"
}

prepare_postgres() {
	rm -rf "${1:?}/data"
	mkdir -p "$1"
	chmod 0700 "$1"
	(umask 077 && cp "$STATE/secrets/postgres" "$1/password")
	[ "$(id -u)" != 0 ] || chown -R "$(unprivileged | sed 's/.*--reuid=\([^ ]*\).*/\1/')" "$1"
}

database_sql() {
	PGPASSFILE=$STATE/secrets/pgpass "$(postgres_programs)/psql" -XqAt -v ON_ERROR_STOP=1 \
		-h 127.0.0.1 -p "$(postgres_port)" -U postgres -d "$1" -c "$2"
}

# --- step: host clusters

processes_hosts() { in_parallel host_start; }

host_start() {
	local name=$1 dir
	dir=$(dir_of "$name")
	is_dry || mkdir -p "$dir"
	process_start "$name-host-store" - "$SERVERS/kine-shim" --listen-address "127.0.0.1:$(host_store_port "$name")" \
		--endpoint "sqlite://$dir/host.db" --metrics-bind-address 0
	wait_for "$name: its own store answers" 60 process_ready "$name-host-store" \
		http_ok "http://127.0.0.1:$(host_store_port "$name")/readyz"
	process_start "$name-kube-apiserver" - "$COMPONENTS/kube-apiserver" \
		--etcd-servers="http://127.0.0.1:$(host_store_port "$name")" --bind-address=127.0.0.1 --secure-port="$(api_port "$name")" \
		--advertise-address=192.0.2.1 --endpoint-reconciler-type=none \
		--tls-cert-file="$dir/kube-apiserver.crt" --tls-private-key-file="$dir/kube-apiserver.key" --client-ca-file="$dir/ca.crt" \
		--service-cluster-ip-range=10.0.0.0/24 --service-account-issuer=https://kubernetes.default.svc \
		--service-account-key-file="$dir/sa.pub" --service-account-signing-key-file="$dir/sa.key" \
		--authorization-mode=RBAC --disable-admission-plugins=ServiceAccount \
		--requestheader-client-ca-file="$dir/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
		--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-uid-headers=X-Remote-Uid \
		--proxy-client-cert-file="$dir/front-proxy.crt" --proxy-client-key-file="$dir/front-proxy.key"
	wait_for "$name: kube-apiserver is ready" 120 process_ready "$name-kube-apiserver" kube "$name" get --raw /readyz
	process_start "$name-controllers" - "$COMPONENTS/kube-controller-manager" \
		--kubeconfig="$dir/controller-manager.kubeconfig" --authentication-kubeconfig="$dir/controller-manager.kubeconfig" \
		--authorization-kubeconfig="$dir/controller-manager.kubeconfig" \
		--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller,resourcequota-controller,clusterrole-aggregation-controller \
		--use-service-account-credentials --service-account-private-key-file="$dir/sa.key" --root-ca-file="$dir/ca.crt" \
		--leader-elect=false --bind-address=127.0.0.1 --secure-port=0
	wait_for "$name: its controllers work" 60 process_ready "$name-controllers" \
		kube "$name" get serviceaccount default -n default
}

# --- step: the first member

# fleet_first CLUSTER: files, servers, and then the Member, from which on the fleet lets in members alone.
fleet_first() {
	local name=$1 fleet kubeconfig
	fleet=$(fleet_of "$name")
	kubeconfig=$(kubeconfig_of "$name-direct")
	if is_dry || [ ! -s "$fleet/objects.yaml" ]; then
		HELIUM_DATABASE_URL=$(database_url) run "$HELIUM" init --cluster-name "$name" --dir "$fleet" --files-only \
			--server-names localhost,127.0.0.1 --store-names localhost,127.0.0.1
	fi
	helium_start "$name"
	if is_dry || ! is_member "$name" "$name" >/dev/null; then
		run "$HELIUM" init --cluster-name "$name" --dir "$fleet" --kubeconfig "$kubeconfig"
	fi
	agent_start "$name"
}

# is_member CLUSTER MEMBER: whether a cluster shows another, or itself, as a member.
is_member() {
	"$HELIUM" members --kubeconfig "$(kubeconfig_of "$1-direct")" -o json 2>&1 | grep -F "{\"name\":\"$2\",\"state\":\"member\""
}

processes_first() { fleet_first "${CLUSTERS[0]}"; }

# --- step: the others join

processes_join() {
	local name
	for name in "${CLUSTERS[@]:1}"; do
		fleet_join "${CLUSTERS[0]}" "$name"
		helium_start "$name"
		agent_start "$name"
	done
}

# fleet_join MEMBER CLUSTER: a token from the one lets in the other.
fleet_join() {
	local member=$1 name=$2 fleet file=$STATE/secrets/join-$2.json
	fleet=$(fleet_of "$name")
	if ! is_dry && [ -s "$fleet/trust.pem" ]; then return; fi
	if is_dry || [ ! -s "$file" ]; then
		HELIUM_DATABASE_URL=$(database_url) run "$HELIUM" token create --cluster "$name" --join-file "$file" \
			--server "https://127.0.0.1:$(helium_port "$member")" --ca-file "$(fleet_of "$member")/helium-ca.crt" \
			--kubeconfig "$(kubeconfig_of "$member-direct")"
	fi
	# Whatever is wrong with the token, the next run makes another one.
	run "$HELIUM" join --join-file "$file" --dir "$fleet" --server-names localhost,127.0.0.1 --store-names localhost,127.0.0.1 || {
		rm -f "$file"
		return 1
	}
	is_dry || rm -f "$file"
}

# --- helium's servers in a cluster

# store_ok CLUSTER: whether its kine-shim is ready; it answers to members alone.
store_ok() {
	local fleet
	fleet=$(fleet_of "$1")
	http_ok "https://127.0.0.1:$(shim_port "$1")/readyz" --cacert "$fleet/store-ca.crt" --cert "$fleet/store-client.crt" \
		--key "$fleet/store-client.key"
}

# links_start CLUSTER: the relay that carries its links.
links_start() {
	local name=$1 socket=$STATE/links/$1.sock link target arguments=()
	is_linked || return 0
	[ ${#socket} -le 100 ] || die "$STATE is too long a name for a socket in it: choose a shorter --state-dir"
	is_dry || (umask 077 && mkdir -p "$STATE/links")
	for link in "${LINKS[@]}"; do
		case $link in
		control-plane) target=$(helium_port "$name") ;;
		kubernetes) target=$(api_port "$name") ;;
		store | peers) target=$(shim_port "$name") ;;
		database) target=$(postgres_port) ;;
		esac
		arguments+=(--link "$link=127.0.0.1:$(way "$name" "$link" '')->127.0.0.1:$target")
	done
	process_start "$name-links" - "$HELIUM" drill relay --control "$socket" "${arguments[@]}"
	wait_for "$name: its links carry" 10 process_ready "$name-links" test -S "$socket"
}

# endpoint_text CLUSTER: its kine-shim's endpoint, on the way that may be cut.
endpoint_text() {
	is_dry || sed "s|@127\.0\.0\.1:$(postgres_port)/|@127.0.0.1:$(way "$1" database "$(postgres_port)")/|" "$(fleet_of "$1")/endpoint"
}

helium_start() {
	local name=$1 dir fleet store peers
	dir=$(dir_of "$name") fleet=$(fleet_of "$name")
	store=https://127.0.0.1:$(way "$name" store "$(shim_port "$name")")
	peers=https://127.0.0.1:$(way "$name" peers "$(shim_port "$name")")
	links_start "$name"
	printf 'KINE_ENDPOINT=%s\n' "'$(endpoint_text "$name")'" | write_file "$STATE/secrets/$name.env" 0600
	process_start "$name-kine-shim" "$STATE/secrets/$name.env" "$SERVERS/kine-shim" --name "$name" \
		--listen-address "127.0.0.1:$(shim_port "$name")" --advertise-client-url "$peers" --metrics-bind-address 0 \
		--server-cert-file "$fleet/kine-shim.crt" --server-key-file "$fleet/kine-shim.key" \
		--trusted-ca-file "$fleet/store-ca.crt" --peer-ca-file "$fleet/store-ca.crt" --members-prefix /helium/helium.dev/members/ \
		--incarnation-key /helium/helium.dev/incarnations/store
	wait_for "$name: kine-shim answers" 60 process_ready "$name-kine-shim" store_ok "$name"
	write_file "$dir/cluster.yaml" 0644 <<-END
		apiVersion: v1
		kind: Service
		metadata: { name: helium-apiserver, namespace: helium-system }
		spec: { type: ExternalName, externalName: localhost }
		---
		apiVersion: v1
		kind: ConfigMap
		metadata: { name: helium-cluster, namespace: helium-system }
		data: { name: $name }
	END
	if is_dry || ! kube "$name" get -n helium-system service/helium-apiserver configmap/helium-cluster rolebinding/helium-agent-election >/dev/null 2>&1; then
		run_kube "$name" apply -f "$ROOT/manifests/base/namespace.yaml" -f "$dir/cluster.yaml" \
			-f "$ROOT/manifests/base/apiserver-rbac.yaml" -f "$ROOT/manifests/base/agent-rbac.yaml"
	fi
	# Payloads of MultiClusters have the rights of an account of their namespace; namespace default gets one.
	if is_dry || ! kube "$name" get clusterrolebinding/helium:agent-payloads >/dev/null 2>&1; then
		run_kube "$name" apply -n default -f "$ROOT/manifests/components/failover/namespace-example.yaml"
		run_kube "$name" apply -f "$ROOT/manifests/components/failover/impersonation.yaml"
	fi
	process_start "$name-helium-apiserver" - "$SERVERS/helium-apiserver" --cluster-name="$name" --require-member \
		--bind-address=127.0.0.1 --secure-port="$(helium_port "$name")" \
		--tls-cert-file="$fleet/helium-apiserver.crt" --tls-private-key-file="$fleet/helium-apiserver.key" \
		--kubeconfig="$dir/helium-apiserver.kubeconfig" \
		--etcd-servers="$store" --etcd-cafile="$fleet/store-ca.crt" \
		--etcd-certfile="$fleet/store-client.crt" --etcd-keyfile="$fleet/store-client.key" --etcd-prefix=/helium
	wait_for "$name: helium-apiserver is ready" 60 process_ready "$name-helium-apiserver" \
		http_ok "https://127.0.0.1:$(helium_port "$name")/readyz" --cacert "$fleet/helium-ca.crt"
}

# agent_start CLUSTER: what registers the groups, and keeps the cluster's Member.
agent_start() {
	local name=$1 dir
	dir=$(dir_of "$name")
	process_start "$name-helium-agent" - "$SERVERS/helium-agent" --cluster-name="$name" \
		--kubeconfig="$dir/helium-agent.kubeconfig" --control-plane-kubeconfig="$dir/helium-agent-direct.kubeconfig" \
		--service="helium-system/helium-apiserver:$(helium_port "$name")" --ca-file="$(fleet_of "$name")/helium-ca.crt" \
		--certificate-authority-file="$(fleet_of "$name")/store-ca.crt" \
		--advertise-kubernetes-url="https://127.0.0.1:$(api_port "$name")" \
		--advertise-direct-url="https://127.0.0.1:$(helium_port "$name")" \
		--state-dir="$dir/agent" --failover-service-account=helium-failover \
		--leader-elect-namespace=helium-system --probe-address="127.0.0.1:$(agent_port "$name")"
}

# --- a cluster's death and return, for the demonstration

cluster_parts() {
	local part
	for part in helium-agent helium-apiserver controllers kube-apiserver kine-shim host-store; do printf '%s\n' "$1-$part"; done
	! is_linked || printf '%s\n' "$1-links"
}

cluster_kill() {
	local part
	while read -r part; do process_stop "$part" KILL; done < <(cluster_parts "$1")
}

cluster_revive() {
	host_start "$1"
	helium_start "$1"
	agent_start "$1"
	local pair
	for pair in "${BUILTIN_GROUPS[@]}" "${EXAMPLE_GROUPS[@]}"; do
		wait_for "$1 serves $pair" 120 apiservice_available "$1" "$pair"
	done
}

# --- commands of the profile

processes_up() {
	if ! is_dry && [ "$DRILL" = 1 ] && [ -f "$STATE/port-base" ] && [ ! -d "$STATE/links" ]; then
		die "the fleet in $STATE was made without --drill: $AGAIN --down, then up with --drill"
	fi
	step "check what is needed" processes_check
	step "programs" processes_build
	step "certificates" processes_certificates
	step "PostgreSQL" processes_postgres
	step "three Kubernetes clusters" processes_hosts
	step "${CLUSTERS[0]} is the fleet's first member" processes_first
	step "${CLUSTERS[*]:1} join" processes_join
	step "Helium's groups in each" processes_register
	step "three shared kinds, defined in ${CLUSTERS[0]}" demo_kinds
}

processes_register() { in_parallel register_builtin; }

processes_status() {
	local name pid down=0
	printf '%-28s %-9s %s\n' PROCESS STATE LOG
	for name in postgres $(each cluster_parts); do
		if pid=$(process_alive "$name"); then
			printf '%-28s %-9s %s\n' "$name" "$pid" "$STATE/logs/$name.log"
		else
			printf '%-28s %-9s %s\n' "$name" down "$STATE/logs/$name.log"
			down=$((down + 1))
		fi
	done
	return $((down > 0))
}

processes_down() {
	local kind rest pid records=()
	[ ! -f "$STATE/owned" ] || mapfile -t records < <(tac "$STATE/owned") # newest first
	# All are asked to end at once; what they store in ends last.
	for kind in ${records[@]+"${records[@]}"}; do
		rest=${kind#process }
		if [ "$rest" != "$kind" ] && [ "$rest" != postgres ] && ! is_dry && pid=$(process_alive "$rest"); then
			kill "$pid" 2>/dev/null || true
		fi
	done
	for kind in ${records[@]+"${records[@]}"}; do
		case $kind in
		"process "*) process_stop "${kind#process }" ;;
		"directory $STATE/postgres")
			process_stop postgres
			run rm -rf "$STATE/postgres"
			forget "$kind"
			;;
		*) warn "skipped an unknown record: $kind" ;;
		esac
	done
}
