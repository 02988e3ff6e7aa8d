#!/usr/bin/env bash
# The main job end to end on this machine: `millrace demo` in the project's environment.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
need_env runtime cloud

# The real data are not ours to ship. Where a copy lies at hand it is used; the demo says what it feeds.
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
for table in "$root/data/london_merged.csv" "$root/../shared/data/bike/london_merged.csv"; do
  if [ -z "${BIKE_DATA-}" ] && [ -r "$table" ]; then export BIKE_DATA=$table; fi
done
for folder in "$root/data/alerts" "$root/data" "$root/../shared/data/alerts"; do
  if [ -z "${ALERTS_DATA-}" ] && compgen -G "$folder/ait_ads_*.csv*" >/dev/null; then export ALERTS_DATA=$folder; fi
done
exec millrace demo "$@"
