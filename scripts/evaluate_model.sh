#!/usr/bin/env bash
# Measures a model on data that it has not seen: `millrace model evaluate` in the environment that training has.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_training_env
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv-training/bin/millrace" model evaluate "$@"
