#!/usr/bin/env bash
# Locks the Pipfile and writes the hashed requirements that scripts and image install.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: scripts/lock.sh [--check]

Resolves the Pipfile into Pipfile.lock, then writes requirements/<group>.txt, one hashed set a group.
No package index is named in any of them: pip's own configuration says where packages come from.

  --check   change nothing; fail when Pipfile, Pipfile.lock and requirements/ do not agree
EOF
}

cd "$(dirname "$(readlink -f "$0")")/.."
PIPENV_VERSION=2026.10.3 # writes the lock format that this script edits
GROUPS_LOCKED=(packages build cloud training benchmarks fuzzing worker dev-packages)
check=
case "${1-}" in
  --help | -h) usage; exit 0 ;;
  --check) check=1 ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "pipenv==$PIPENV_VERSION"
export PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_VENV_IN_PROJECT=0 WORKON_HOME="$work/envs" PIPENV_NOSPIN=1 PIPENV_QUIET=1
pipenv() { "$work/venv/bin/pipenv" "$@"; }

if [ -z "$check" ]; then
  pipenv lock --categories "${GROUPS_LOCKED[*]}"
  # Pipenv writes the index that it used; `pipenv sync` and `pipenv requirements` work without it.
  python3 - <<'EOF'
import json, pathlib
path = pathlib.Path("Pipfile.lock")
lock = json.loads(path.read_text())
lock["_meta"]["sources"] = []
for group, packages in lock.items():
    if group != "_meta":
        for pin in packages.values():
            pin.pop("index", None)
path.write_text(json.dumps(lock, indent=4, sort_keys=True) + "\n")
EOF
fi

if [ -n "$check" ]; then
  pipenv verify >&2 || {
    echo "lock.sh: Pipfile.lock is not of this Pipfile; run scripts/lock.sh" >&2
    exit 1
  }
fi

out=requirements
[ -n "$check" ] && out="$work/requirements"
mkdir -p "$out"
for group in "${GROUPS_LOCKED[@]}"; do
  case "$group" in packages) name=runtime ;; dev-packages) name=development ;; *) name=$group ;; esac
  {
    echo "# Written by scripts/lock.sh from Pipfile.lock."
    pipenv requirements --hash --exclude-index --categories "$group" | grep -v '^-i '
  } >"$out/$name.txt"
done
[ -z "$check" ] || diff -r requirements "$out" || {
  echo "lock.sh: requirements/ is not what Pipfile.lock says; run scripts/lock.sh" >&2
  exit 1
}
