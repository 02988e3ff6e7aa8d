#!/usr/bin/env bash
# Trains the bike model: `python -m model.bike.train` in an environment of its own.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_training_env
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv-training/bin/python" -m model.bike.train "$@"
