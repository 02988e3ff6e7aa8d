#!/usr/bin/env bash
# Fuzz what reads input from outside.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: scripts/fuzz.sh [TARGET...] [--seconds N] [--jobs N] [--replay FILE]

Each target (by default every one) runs for 60 seconds, two at a time; for hours, say --seconds 14400 --seed 0. What breaks a
promise is written to fuzz-found/, with a line that says which. `--help` after `--` lists the targets.
EOF
}

cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
case "${1-}" in
  --help | -h) usage; exit 0 ;;
  --) shift ;;
esac
need_env runtime cloud development fuzzing
exec python -m devtools.fuzz "$@"
