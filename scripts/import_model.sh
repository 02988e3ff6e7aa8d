#!/usr/bin/env bash
# Turns an MLflow model into a bundle: `millrace model import` in the environment that training has.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_training_env
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
exec "$root/.venv-training/bin/millrace" model import "$@"
