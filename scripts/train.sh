#!/usr/bin/env bash
# Trains a model in an environment of its own: `python -m model.<name>.train`.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: scripts/train.sh [MODEL] [OPTION...]

Trains bike (the default), technique or cluster, and writes its bundle; `scripts/train.sh MODEL --help` has the options.
EOF
}

# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
model=bike
case "${1-}" in
  --help | -h) usage; exit 0 ;;
  bike | technique | cluster) model=$1; shift ;;
  -* | '') ;;
  *) echo "train.sh: no model '$1'; see --help" >&2; exit 2 ;;
esac
need_training_env
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv-training/bin/python" -m "model.$model.train" "$@"
