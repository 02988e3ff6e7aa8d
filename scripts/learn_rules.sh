#!/usr/bin/env bash
# Learns the techniques of alerts from one's own detection rules: `millrace model learn` in the environment that
# training has, as in `./scripts/learn_rules.sh technique --rules ~/sigma/rules`.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_training_env
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv-training/bin/millrace" model learn "$@"
