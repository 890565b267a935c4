#!/usr/bin/env bash
# Makes what manifests/base expects in one cluster and what differs from cluster to cluster: its name and its
# certificates, by authorities of its own. For installing without cert-manager, where the program helium isn't at hand:
# helium init --files-only makes the same.
#
#   scripts/cluster-secrets.sh NAME DIR     then: kubectl apply -f DIR/objects.yaml
#
# NAME is the cluster's name in the fleet, a lower-case DNS label. In DIR stay the authorities' keys: keep it safe.
# Run again later, it leaves alone what is there; remove a .crt file to have it made anew.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/setup/common.sh
. "$ROOT/scripts/setup/common.sh"
# shellcheck source=scripts/setup/pki.sh
. "$ROOT/scripts/setup/pki.sh"

if [ $# != 2 ] || ! [[ $1 =~ ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ ]]; then
	sed -n '2,/^set -euo/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
fi
name=$1
mkdir -p "$2"
STATE=$(cd "$2" && pwd)
DRY_RUN=0
mkdir -p "$STATE/logs"
cluster_certificates_for_pods "$STATE" "$name"
cluster_objects "$name" "$STATE" | write_file "$STATE/objects.yaml" 0600
rm -f "$STATE/changed"
say "made $STATE/objects.yaml for cluster $name"
