# shellcheck shell=bash
# Certificates with openssl: every cluster gets authorities of its own. Keys never leave the state
# directory, except leaf keys that are sent to the cluster which they belong to.

# Days that certificates are valid: this is for demonstrations. In a real fleet cert-manager renews
# them (manifests/overlays/cert-manager).
CERTIFICATE_DAYS=365

# authority DIR NAME: makes DIR/NAME.crt and .key, once.
authority() {
	local dir=$1 name=$2
	if is_dry; then
		plan "make authority $dir/$name.crt"
		return
	fi
	[ -s "$dir/$name.crt" ] && return
	changed
	mkdir -p "$dir" && chmod 0700 "$dir"
	(
		umask 077
		cat >"$dir/$name.cnf" <<-END
			[req]
			distinguished_name = dn
			x509_extensions = ca
			prompt = no
			[dn]
			CN = $name of $(basename "$dir")
			[ca]
			basicConstraints = critical,CA:TRUE
			keyUsage = critical,keyCertSign,cRLSign,digitalSignature
			subjectKeyIdentifier = hash
		END
		openssl ecparam -name prime256v1 -genkey -noout -out "$dir/$name.key"
		openssl req -x509 -new -sha256 -config "$dir/$name.cnf" -days "$CERTIFICATE_DAYS" \
			-key "$dir/$name.key" -out "$dir/$name.crt.new"
		mv "$dir/$name.crt.new" "$dir/$name.crt"
	) >>"$STATE/logs/setup.log" 2>&1
}

# certificate DIR AUTHORITY FILE COMMON-NAME [GROUP] [NAMES]: makes DIR/FILE.crt and .key, once. NAMES, such as
# DNS:localhost,IP:127.0.0.1, make it a server's as well.
certificate() {
	local dir=$1 authority=$2 file=$3 user=$4 group=${5:-} names=${6:-}
	if is_dry; then
		plan "issue $dir/$file.crt: CN=$user${group:+, O=$group}${names:+, $names}"
		return
	fi
	[ -s "$dir/$file.crt" ] && return
	changed
	(
		umask 077
		cat >"$dir/$file.cnf" <<-END
			[req]
			distinguished_name = dn
			prompt = no
			[dn]
			${group:+O = $group}
			CN = $user
			[leaf]
			basicConstraints = critical,CA:FALSE
			keyUsage = critical,digitalSignature
			extendedKeyUsage = clientAuth${names:+,serverAuth}
			authorityKeyIdentifier = keyid
			${names:+subjectAltName = $names}
		END
		openssl ecparam -name prime256v1 -genkey -noout -out "$dir/$file.key"
		openssl req -new -sha256 -config "$dir/$file.cnf" -key "$dir/$file.key" -out "$dir/$file.csr"
		openssl x509 -req -sha256 -in "$dir/$file.csr" -CA "$dir/$authority.crt" -CAkey "$dir/$authority.key" \
			-set_serial "0x$(openssl rand -hex 15)" -days "$CERTIFICATE_DAYS" \
			-extfile "$dir/$file.cnf" -extensions leaf -out "$dir/$file.crt.new"
		mv "$dir/$file.crt.new" "$dir/$file.crt"
	) >>"$STATE/logs/setup.log" 2>&1
}

# signing_keys DIR: the pair that signs a cluster's service account tokens, once.
signing_keys() {
	local dir=$1
	if is_dry; then
		plan "make $dir/sa.key and sa.pub"
		return
	fi
	[ -s "$dir/sa.pub" ] && return
	changed
	(
		umask 077
		openssl ecparam -name prime256v1 -genkey -noout -out "$dir/sa.key"
		openssl ec -in "$dir/sa.key" -pubout -out "$dir/sa.pub.new"
		mv "$dir/sa.pub.new" "$dir/sa.pub"
	) >>"$STATE/logs/setup.log" 2>&1
}

# base64_line FILE: as a caBundle carries it.
base64_line() { base64 <"$1" | tr -d '\n'; }

# kubeconfig PATH CLUSTER SERVER AUTHORITY CERT KEY: a kubeconfig whose only context is named after the
# cluster. Its credentials are files.
kubeconfig() {
	local path=$1 cluster=$2 server=$3 authority=$4 cert=$5 key=$6
	write_file "$path" 0600 <<-END
		apiVersion: v1
		kind: Config
		current-context: $cluster
		contexts:
		- name: $cluster
		  context: { cluster: $cluster, user: $cluster }
		clusters:
		- name: $cluster
		  cluster: { server: "$server", certificate-authority: "$authority" }
		users:
		- name: $cluster
		  user: { client-certificate: "$cert", client-key: "$key" }
	END
}

# cluster_certificates_for_pods DIR NAME: what manifests/base expects in a cluster, as files in DIR, as helium init makes
# it too. Two authorities, so that a certificate for serving the API opens no door to the store. Who comes to the store names
# the cluster whose member it is.
cluster_certificates_for_pods() {
	local dir=$1 group=helium:cluster:$2
	authority "$dir" helium-ca
	authority "$dir" store-ca
	certificate "$dir" helium-ca helium-apiserver helium-apiserver '' DNS:helium-apiserver.helium-system.svc
	certificate "$dir" store-ca kine-shim "helium:kine-shim:$2" "$group" DNS:kine-shim.helium-system.svc
	certificate "$dir" store-ca store-client "helium:apiserver:$2" "$group"
}

# cluster_objects NAME DIR: those files as Secrets, with the namespace and the cluster's name. The authorities' keys
# are not among them.
cluster_objects() {
	local name=$1 dir=$2
	cat "$ROOT/manifests/base/namespace.yaml"
	cat <<-END
		---
		apiVersion: v1
		kind: ConfigMap
		metadata: { name: helium-cluster, namespace: helium-system }
		data: { name: $name }
	END
	tls_secret helium-apiserver-tls "$dir/helium-apiserver" "$dir/helium-ca.crt"
	tls_secret kine-shim-tls "$dir/kine-shim" "$dir/store-ca.crt"
	tls_secret helium-store-client-tls "$dir/store-client" "$dir/store-ca.crt"
}

tls_secret() { # tls_secret NAME PAIR AUTHORITY
	cat <<-END
		---
		apiVersion: v1
		kind: Secret
		metadata: { name: $1, namespace: helium-system }
		type: kubernetes.io/tls
		data:
		  tls.crt: $(base64_line "$2.crt")
		  tls.key: $(base64_line "$2.key")
		  ca.crt: $(base64_line "$3")
	END
}
