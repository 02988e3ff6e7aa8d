#!/usr/bin/env bash
# Every check of the project, stage by stage.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: scripts/test.sh [STAGE...]
       scripts/test.sh --localstack

Without a stage, all of them, in this order:
  style        ruff (rules and format), shellcheck where there is one
  types        mypy --strict
  unit         units and the public fakes
  properties   invariants, by Hypothesis
  integration  the local cloud over HTTP, the scripts and the command line
  training     training, export and MLflow, in an environment of its own (about a minute to install)

  --localstack runs the integration tests that ask for the cloud against LocalStack in host mode instead of the Kinesis
  emulator: 4.14.0 where there is a Python 3.13 (on the PATH or in pyenv), otherwise 4.8.1 on Python 3.11. The first time,
  its environment is made in .cloud (two minutes, 500 MB).

A stage that this machine cannot run is named as skipped; with CI=true that is a failure.
EOF
}

cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
case "${1-}" in --help | -h) usage; exit 0 ;; esac
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(style types unit properties integration training)
for stage in "${stages[@]}"; do
  case "$stage" in
    style | types | unit | properties | integration | --localstack | training) ;;
    *) echo "test.sh: no stage '$stage'; see --help" >&2; exit 2 ;;
  esac
done
skipped=()

skip() {
  echo "SKIPPED $1: $2"
  skipped+=("$1")
}

run_stage() {
  echo "== $1"
  case "$1" in
    style)
      ruff check .
      ruff format --check .
      if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; else skip shellcheck "not installed"; fi
      ;;
    types) mypy ;;
    unit) python -m pytest -q tests/unit ;;
    properties) python -m pytest -q tests/properties ;;
    integration) python -m pytest -q tests/integration ;;
    --localstack)
      if python -m devtools.cloud.localstack; then # says which version on which Python
        python -m pytest -q --localstack tests/integration
      else
        skip localstack "it cannot be installed here"
      fi
      ;;
    training)
      if need_training_env; then
        .venv-training/bin/python -m pytest -q tests/training
      else
        skip training "its packages cannot be installed here"
      fi
      ;;
  esac
}

need_env runtime cloud development
for stage in "${stages[@]}"; do run_stage "$stage"; done

if [ ${#skipped[@]} -gt 0 ]; then
  echo "passed; skipped: ${skipped[*]}"
  [ "${CI-}" != true ] || exit 1
else
  echo "passed: ${stages[*]}"
fi
