#!/usr/bin/env bash
# Puts records on the input stream: `millrace feed` in the project's environment.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_env runtime cloud
exec millrace feed "$@"
