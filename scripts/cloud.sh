#!/usr/bin/env bash
# The local cloud: AWS on this machine. `scripts/cloud.sh up`, `status`, `down`; `--help` says more.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
need_env runtime cloud
exec millrace cloud "$@"
