#!/usr/bin/env bash
# The images, as far as that goes without building them: what images/Dockerfile.dockerignore lets through is a whole
# workspace, and what the Dockerfile builds and copies exists.
set -euo pipefail
# shellcheck source=tests/setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

test_build_context_is_a_whole_workspace_with_the_programs() {
	local path target
	mkdir "$T/context"
	sed -n 's/^!//p' "$ROOT/images/Dockerfile.dockerignore" >"$T/paths"
	while read -r path; do
		mkdir -p "$T/context/$(dirname "$path")"
		cp -R "$ROOT/$path" "$T/context/$path"
	done <"$T/paths"
	(cd "$T/context" && cargo metadata --locked --no-deps --format-version 1) >"$T/metadata" || fail "cargo refuses the context"
	awk '$1 == "FROM" && $4 != "build" { print $4 }' "$ROOT/images/Dockerfile" >"$T/targets"
	equal 3 "$(wc -l <"$T/targets")" "targets"
	while read -r target; do
		contains "\"kind\":[\"bin\"],\"crate_types\":[\"bin\"],\"name\":\"$target\"" "$T/metadata"
		contains "COPY --from=build /out/$target /$target" "$ROOT/images/Dockerfile"
	done <"$T/targets"
	# Files that the code includes from elsewhere must be in the context too.
	grep -rnoE 'include_(str|bytes)!\("[^"]+"' "$T/context" --include='*.rs' | sed -E 's/:[0-9]+:include_[a-z]+!\("/ /; s/"$//' |
		while read -r file path; do
			[ -e "$(dirname "$file")/$path" ] || fail "$file includes $path, which isn't in the context"
		done
}

test_toolchain_of_the_image_is_that_of_the_repository() {
	local channel
	channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
	contains "rust:$channel-" "$ROOT/images/Dockerfile"
}

test_images_are_named_alike_everywhere() {
	local target version
	version=$(awk -F '"' '/^version = / && !found { print $2; found = 1 }' "$ROOT/Cargo.toml")
	for target in kine-shim helium-apiserver helium-agent; do
		contains "{ name: $target, newTag: $version }" "$ROOT/manifests/base/kustomization.yaml"
	done
	contains "IMAGE_TAG=$version" "$ROOT/scripts/setup/kind.sh"
}

run_tests
