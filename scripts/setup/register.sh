# shellcheck shell=bash
# How a cluster learns about the shared groups: one APIService for each group and version, which leads to
# the cluster's own helium-apiserver. helium-agent does this by itself where it runs; without it, this does.
#
# Uses from the profile: REGISTRAR (agent or script), SERVICE_PORT_OF (a function: cluster → port).

kubeconfig_of() { printf '%s/kubeconfig/%s' "$STATE" "$1"; }

# kube CLUSTER ARGUMENT…: asks a cluster as its administrator.
kube() {
	local cluster=$1
	shift
	"$KUBECTL" --kubeconfig "$(kubeconfig_of "$cluster")" --request-timeout=30s "$@"
}

# run_kube CLUSTER ARGUMENT…: changes something in a cluster.
run_kube() {
	local cluster=$1
	shift
	run "$KUBECTL" --kubeconfig "$(kubeconfig_of "$cluster")" --request-timeout=30s "$@"
}

# run_kube_from FILE CLUSTER ARGUMENT…: the same with a file as standard input.
run_kube_from() {
	local file=$1 cluster=$2
	shift 2
	run_from "$file" "$KUBECTL" --kubeconfig "$(kubeconfig_of "$cluster")" --request-timeout=30s "$@"
}

# The groups that helium-apiserver serves always.
BUILTIN_GROUPS=(helium.dev/v1 coordination.helium.dev/v1)
# Those that manifests/examples/definitions.yaml adds.
EXAMPLE_GROUPS=(innsmouth.example.com/v1 olympus.example.com/v1beta1)

apiservice_text() { # apiservice_text CLUSTER GROUP/VERSION…
	local cluster=$1 pair
	shift
	for pair in "$@"; do
		cat <<-END
			---
			apiVersion: apiregistration.k8s.io/v1
			kind: APIService
			metadata:
			  name: ${pair#*/}.${pair%/*}
			  labels: { app.kubernetes.io/managed-by: helium }
			spec:
			  group: ${pair%/*}
			  version: ${pair#*/}
			  groupPriorityMinimum: 1000
			  versionPriority: 100
			  caBundle: $(is_dry || base64_line "$STATE/clusters/$cluster/helium-ca.crt")
			  service: { namespace: helium-system, name: helium-apiserver, port: $("$SERVICE_PORT_OF" "$cluster") }
		END
	done
}

# apiservice_registered CLUSTER GROUP/VERSION: whether it leads where it should.
apiservice_registered() {
	local cluster=$1 name=${2#*/}.${2%/*} expected
	expected="$("$SERVICE_PORT_OF" "$cluster") $(base64_line "$STATE/clusters/$cluster/helium-ca.crt")"
	[ "$(kube "$cluster" get apiservice "$name" -o 'jsonpath={.spec.service.port} {.spec.caBundle}' 2>/dev/null)" = "$expected" ]
}

apiservice_available() { # apiservice_available CLUSTER GROUP/VERSION
	local got
	got=$(kube "$1" get apiservice "${2#*/}.${2%/*}" -o 'jsonpath={.status.conditions[?(@.type=="Available")]}') || return 1
	case $got in *'"status":"True"'*) ;; *)
		printf '%s\n' "$got"
		return 1
		;;
	esac
}

# register CLUSTER GROUP/VERSION…: makes the cluster serve groups, and waits until it does.
register() {
	local cluster=$1 pair missing=()
	shift
	if [ "$REGISTRAR" = script ]; then
		for pair in "$@"; do
			if is_dry || ! apiservice_registered "$cluster" "$pair"; then missing+=("$pair"); fi
		done
		if [ ${#missing[@]} != 0 ]; then
			local file=$STATE/clusters/$cluster/register-${1%%.*}.yaml
			apiservice_text "$cluster" "${missing[@]}" | write_file "$file" 0644
			run_kube "$cluster" apply -f "$file"
		fi
	fi
	for pair in "$@"; do
		wait_for "$cluster serves $pair" 120 apiservice_available "$cluster" "$pair"
	done
}

register_builtin() { register "$1" "${BUILTIN_GROUPS[@]}"; }
register_examples() { register "$1" "${EXAMPLE_GROUPS[@]}"; }
