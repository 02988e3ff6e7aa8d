#!/usr/bin/env bash
# Every check of the project, stage by stage.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: scripts/test.sh [STAGE...]
       scripts/test.sh --localstack

Without a stage, these, in this order:
  style        ruff (rules and format), shellcheck where there is one
  types        mypy --strict
  unit         units, the public fakes and the examples
  properties   invariants, by Hypothesis
  integration  the local cloud over HTTP, the scripts and the command line
  training     training, export and MLflow, in an environment of its own (about a minute to install)

Run by name:
  examples     the examples alone, in seconds
  slow         the tests marked `slow`, of all these folders: what is exhaustive, and a quick run of the benchmarks
  mutants      known faults of the delivery, put back one by one: the checker has to find each
  fuzz         each fuzz target for a minute, two at a time (scripts/fuzz.sh runs them for hours)
  docs         the documentation as a site, in site/
  coverage     units and properties, and no less of app/ run by them than pyproject.toml says

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
left_out=()
if [ ${#stages[@]} -eq 0 ]; then
  stages=(style types unit properties integration training)
  left_out=(slow mutants fuzz docs coverage)
fi
for stage in "${stages[@]}"; do
  case "$stage" in
    style | types | unit | examples | properties | integration | --localstack | training | slow | mutants | fuzz | docs | coverage) ;;
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
    unit) python -m pytest -q -m "not slow" tests/unit examples ;;
    examples) python -m pytest -q examples ;;
    properties) python -m pytest -q -m "not slow" tests/properties ;;
    integration) python -m pytest -q -m "not slow" tests/integration ;;
    --localstack)
      if python -m devtools.cloud.localstack; then # says which version on which Python
        python -m pytest -q -m "cloud and not slow" --localstack tests/integration
      else
        skip localstack "it cannot be installed here"
      fi
      ;;
    training) training "not slow" ;;
    slow)
      python -m pytest -q -m slow tests/unit tests/properties tests/integration
      training slow
      ;;
    mutants) python -m devtools.mutants --generated 0 ;;
    fuzz)
      if need_env runtime cloud development fuzzing; then
        python -m devtools.fuzz
      else
        skip fuzz "atheris cannot be installed here: it is for Python 3.11 to 3.13 on Linux"
      fi
      ;;
    docs) python -m mkdocs build --quiet --strict ;;
    coverage) python -m pytest -q -m "not slow" --cov --cov-report=term:skip-covered tests/unit examples tests/properties ;;
  esac
}

training() {
  if need_training_env; then
    .venv-training/bin/python -m pytest -q -m "$1" tests/training
  else
    skip training "its packages cannot be installed here"
  fi
}

need_env runtime cloud development
for stage in "${stages[@]}"; do
  TIMEFORMAT="== $stage: %0R s, of the processor %0U s and %0S s"
  time run_stage "$stage"
done
[ ${#left_out[@]} -eq 0 ] || echo "left out: ${left_out[*]} (scripts/test.sh ${left_out[*]})"

if [ ${#skipped[@]} -gt 0 ]; then
  echo "passed; skipped: ${skipped[*]}"
  [ "${CI-}" != true ] || exit 1
else
  echo "passed: ${stages[*]}"
fi
