#!/bin/sh
# The image's entry point: Lambda, the emulator or the command line (docs/decisions/0018-entry-point.md says why).
#
# In Lambda, and for a handler's name alone, the base image's own entry point does the rest: it starts the runtime
# client, behind the emulator where there is no runtime API. `exec` everywhere, so that signals reach what runs.
set -eu

base=/lambda-entrypoint.sh

run_module() {
  # From any folder: the code is in the task root, and what lies in the current one is imported by nobody.
  export PYTHONPATH="${LAMBDA_TASK_ROOT:-/var/task}${PYTHONPATH:+:$PYTHONPATH}"
  exec python3 -P -m "$@"
}

is_name() {
  case "$1" in
    "" | *[!A-Za-z0-9_./-]* | [./-]* | *. | *..*) return 1 ;;
  esac
}

refuse() {
  printf 'entry point: %s: give the name of a handler (package.module.Class), millrace and a command, %s\n' \
    "$(printf %s "$1" | LC_ALL=C tr -c ' -~' '?')" "or handle-lambda-request and its options" >&2
  exit 2
}

in_lambda=${AWS_LAMBDA_RUNTIME_API:+yes}
case "${AWS_EXECUTION_ENV-}" in
  [Aa][Ww][Ss]_[Ll][Aa][Mm][Bb][Dd][Aa]_*) in_lambda=yes ;;
esac
[ -z "$in_lambda" ] || exec "$base" "$@"

case "${1-}" in
  millrace)
    shift
    run_module app.cli "$@"
    ;;
  handle-lambda-request)
    shift
    run_module app.cli.lambda_request "$@"
    ;;
  -*) run_module app.cli.lambda_request "$@" ;;
esac

[ $# -le 1 ] || refuse "$# arguments, and the first is no command"
[ $# -eq 0 ] || is_name "$1" || refuse "'$1' is neither a handler nor a command"

if [ -n "${AWS_LAMBDA_EVENT_PAYLOAD-}" ]; then
  # The argument may be no more than the image's default, so a handler that the environment names comes first.
  if [ $# -eq 0 ] || [ -n "${AWS_LAMBDA_FUNCTION_HANDLER:-${_HANDLER-}}" ]; then
    run_module app.cli.lambda_request
  fi
  run_module app.cli.lambda_request --handler "$1"
fi

case "${1-}" in
  *.*) exec "$base" "$1" ;;
  "") refuse "no arguments" ;;
  *) refuse "'$1' is neither a handler nor a command" ;; # the emulator knows no short names
esac
