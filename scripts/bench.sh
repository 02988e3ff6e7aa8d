#!/usr/bin/env bash
# Millrace beside its peers: `millrace bench` in the environment that holds them, which is made the first time.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_training_env
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
exec "$root/.venv-training/bin/millrace" bench "$@"
