#!/usr/bin/env bash
# Prints the records of the output stream: `millrace drain` in the project's environment.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_env runtime cloud
exec millrace drain "$@"
