#!/usr/bin/env bash
# Builds the image and pushes it to a registry, Amazon's by default.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/push_ecr.sh [options] REPOSITORY[:TAG]

Builds the image, logs in to the account's registry (Amazon ECR), and pushes the image as REPOSITORY:TAG (v1 without a
tag). Credentials and region come from the environment, as in every AWS SDK; the aws command is not needed.
Prints the pushed image with its digest, the name under which Lambda takes it.

  --registry HOST        another registry than the account's own
  --no-login             use the login that docker has
  --image IMAGE          push this image instead of building one
  --platform PLATFORM    build for another machine, for example linux/amd64
  --base IMAGE           build on this base; with its digest (…:3.13@sha256:…) it is the same base each time
  --create-repository    create the repository when there is none
  --dry-run              show what would be done; asks for nothing and changes nothing

Example: AWS_PROFILE=iamadmin AWS_DEFAULT_REGION=us-east-1 scripts/push_ecr.sh bike-model:v1
USAGE
}

fail() {
  echo "push_ecr.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
registry='' image='' platform='' base='' login=1 create='' dry='' target=''
while [ $# -gt 0 ]; do
  case "$1" in
    --registry | --image | --platform | --base)
      [ $# -gt 1 ] || fail "$1 needs a value; see --help"
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    --no-login) login='' ;;
    --create-repository) create=1 ;;
    --dry-run) dry=1 ;;
    --help | -h) usage; exit 0 ;;
    -*) fail "no option $1; see --help" ;;
    *)
      [ -z "$target" ] || fail "one repository only; see --help"
      target=$1
      ;;
  esac
  shift
done
[ -n "$target" ] || { usage >&2; exit 2; }
[[ ${target##*/} == *:* ]] || target=$target:v1
repository=${target%:*}

docker=${DOCKER:-docker}
command -v "$docker" >/dev/null || fail "docker is not installed"
export DOCKER_BUILDKIT=1 # the default since Docker 23
run() {
  if [ -n "$dry" ]; then echo "would run: $*"; else "$@"; fi
}

# Asks ECR; prints what it was asked for, or one line of error.
ask_ecr() {
  (cd "$root" && python - "$@") <<'PYTHON'
import base64, sys
from botocore.exceptions import BotoCoreError, ClientError
from app import aws
from app.errors import MillraceError

action, repository = sys.argv[1:]
try:
    ecr = aws.client("ecr")
    if action == "login":  # registry, then user:password
        data = ecr.get_authorization_token()["authorizationData"][0]
        print(data["proxyEndpoint"].partition("://")[2])
        print(base64.b64decode(data["authorizationToken"]).decode())
    elif action == "create":
        ecr.create_repository(repositoryName=repository)
    else:
        try:
            ecr.describe_repositories(repositoryNames=[repository])
            print("there")
        except ecr.exceptions.RepositoryNotFoundException:
            print("missing")
except (BotoCoreError, ClientError) as error:
    sys.exit(f"push_ecr.sh: {aws.explained(error, 'Amazon ECR')}")
except MillraceError as error:
    sys.exit(f"push_ecr.sh: {error}")
PYTHON
}

[ -n "$login$registry" ] || fail "--no-login needs --registry"
if [ -n "$login" ]; then
  if [ -n "$dry" ]; then
    echo "would log in to ${registry:-the registry of the account} with a token from Amazon ECR"
    registry=${registry:-ACCOUNT.dkr.ecr.REGION.amazonaws.com}
  else
    # shellcheck source=scripts/env.sh
    . "$root/scripts/env.sh"
    need_env runtime
    answer=$(ask_ecr login "$repository") || exit
    registry=${registry:-${answer%%$'\n'*}}
    user_password=${answer##*$'\n'}
    found=$(ask_ecr find "$repository") || exit
    if [ "$found" = missing ]; then
      [ -n "$create" ] || fail "no repository $repository in Amazon ECR: create it, or say --create-repository"
      ask_ecr create "$repository" || exit
    fi
    "$docker" login --username "${user_password%%:*}" --password-stdin "$registry" <<<"${user_password#*:}" >/dev/null ||
      fail "the registry refuses the login"
  fi
fi
if [ -z "$image" ]; then
  image=$target
  build=(build -t "$image")
  # Lambda takes a single manifest, not an index that holds an attestation beside it.
  "$docker" build --help 2>/dev/null | grep -q -- --provenance && build+=(--provenance=false)
  [ -z "$platform" ] || build+=(--platform "$platform")
  [ -z "$base" ] || build+=(--build-arg "BASE=$base")
  [[ ${base:-$(sed -n 's/^ARG BASE=//p' "$root/Dockerfile")} == *@sha256:* ]] ||
    echo "push_ecr.sh: the base has no digest, so another may come with its tag: --base IMAGE@sha256:… names one" >&2
  run "$docker" "${build[@]}" "$root"
fi

run "$docker" tag "$image" "$registry/$target"
run "$docker" push --quiet "$registry/$target"
[ -n "$dry" ] || "$docker" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$registry/$target" |
  grep -F "$registry/$repository@"
