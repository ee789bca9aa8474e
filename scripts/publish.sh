#!/usr/bin/env bash
# Publishes the Feature and the template "base" of a release to a registry of containers, each
# with the tags latest, 1, 1.2 and 1.2.3. Needs the dev container CLI, and a login to the
# registry as docker has it.
#
#   REGISTRY=registry.example.org [NAMESPACE=coltec/coltec] scripts/publish.sh v1.2.3
#
# The release lies in dist/release/VERSION, or in RELEASE. Its coltec makes the template.
set -euo pipefail
cd "$(dirname -- "$0")/.."
version=${1:-}
namespace=${NAMESPACE:-coltec/coltec}
release=${RELEASE:-dist/release/$version}
if [ -z "$version" ] || [ -z "${REGISTRY-}" ]; then
	echo "usage: REGISTRY=HOST [NAMESPACE=coltec/coltec] scripts/publish.sh vMAJOR.MINOR.PATCH" >&2
	exit 2
fi
number=${version#v}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$release" && sha256sum --quiet -c checksums.txt)
mkdir -p "$work/features/coltec" "$work/templates/base" "$work/host"
tar -xzf "$release/devcontainer-feature-coltec.tar.gz" -C "$work/features/coltec"
tar -xzf "$release/coltec-$version-linux-$(go env GOARCH).tar.gz" --strip-components=1 -C "$work/host"

# The template is what coltec makes, with questions in the place of answers. The Feature comes by
# the registry, and whoever applies it has no record of ours.
template=$work/templates/base
mkdir "$work/none"
COLTEC_BIN=$work/none "$work/host/coltec" new "$template/base" --data org=qq-org --data project=qq-project --data env=qq-env \
	--data image=qq-image --data user=qq_user --data provider=qqProvider --data region=qq-region >/dev/null 2>&1
mv "$template"/base/.devcontainer "$template"
rm -r "$template/base" "$template/.devcontainer/coltec" "$template/.devcontainer/.coltec"
for answer in org:qq-org project:qq-project env:qq-env image:qq-image user:qq_user provider:qqProvider region:qq-region; do
	echo "s/${answer#*:}/\${templateOption:${answer%%:*}}/g"
done >"$work/questions.sed"
echo "s|\"./coltec\": {}|\"$REGISTRY/$namespace/coltec:${number%%.*}\": {}|" >>"$work/questions.sed"
find "$template" -type f -print0 | xargs -0 sed -i -f "$work/questions.sed"
if grep -rn 'qq[-_P]' "$template"; then
	echo "publish: an answer is left in the template" >&2
	exit 1
fi
cat >"$template/devcontainer-template.json" <<-END
	{
	    "id": "base",
	    "version": "$number",
	    "name": "Coltec",
	    "description": "A dev container whose files follow you through your own bucket",
	    "documentationURL": "https://github.com/coltec/coltec",
	    "licenseURL": "https://github.com/coltec/coltec/blob/main/LICENSE",
	    "options": {
	        "org": {"type": "string", "description": "who the workspace belongs to", "default": "acme"},
	        "project": {"type": "string", "description": "what is worked on", "default": "widget"},
	        "env": {"type": "string", "description": "which of the project's workspaces this is; the same on each machine that it is to follow you to", "default": "dev-a"},
	        "image": {"type": "string", "description": "the container's image", "default": "mcr.microsoft.com/devcontainers/base:bookworm"},
	        "user": {"type": "string", "description": "the user in the image", "default": "vscode"},
	        "provider": {"type": "string", "description": "the bucket's provider, as rclone names it", "proposals": ["Cloudflare", "AWS", "Minio", "Other"], "default": "Cloudflare"},
	        "region": {"type": "string", "description": "the bucket's region", "proposals": ["auto", "us-east-1", "eu-central-1"], "default": "auto"}
	    }
	}
END

devcontainer features publish --registry "$REGISTRY" --namespace "$namespace" "$work/features"
devcontainer templates publish --registry "$REGISTRY" --namespace "$namespace/templates" "$work/templates"
echo "publish: $REGISTRY/$namespace/coltec:${number%%.*} and $REGISTRY/$namespace/templates/base:${number%%.*} are $version"
