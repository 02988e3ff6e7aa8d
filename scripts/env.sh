# shellcheck shell=bash
# Sourced by the other scripts: makes the environment that they need, once, from the locked and hashed sets.

# need_env GROUP... makes .venv with these groups of requirements/, and puts it first on PATH.
need_env() {
  local root python group stamp
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  _need_venv "$root/.venv" "$root" "$@" || return
  PATH="$root/.venv/bin:$PATH"
  export PATH
}

# need_training_env makes .venv-training: MLflow and moto disagree about a package, so training has its own, which
# model import and the benchmarks' peers share.
need_training_env() {
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  _need_venv "$root/.venv-training" "$root" runtime training benchmarks development
}

_need_venv() {
  local venv=$1 root=$2 python group stamp missing=() files=()
  shift 2
  for group in "$@"; do
    stamp="$venv/.installed-$group"
    cmp -s "$root/requirements/$group.txt" "$stamp" || missing+=("$group")
  done
  # A clone that was moved has commands that point to where it was; an old environment lacks the newest command.
  grep -qsF "$venv/bin/" "$venv/bin/millrace" && [ -e "$venv/bin/handle-lambda-request" ] && [ ${#missing[@]} -eq 0 ] &&
    return 0

  if [ -e "$venv" ] && { ! "$venv/bin/python" -m pip --version || ! grep -qF "$venv/bin/" "$venv/bin/pip"; } >/dev/null 2>&1; then
    rm -rf "$venv" # half made, or made for another place
    missing=("$@")
  fi
  if [ ! -e "$venv" ]; then
    python=$(_find_python) || return
    echo "making $(basename "$venv") with $("$python" --version)" >&2
    "$python" -m venv "$venv" 2>/dev/null || {
      rm -rf "$venv"
      echo "cannot make a virtual environment: install Debian's python3-venv (apt-get install python3-venv)" >&2
      return 1
    }
  fi
  exec 9>"$venv/.lock"
  flock 9 # another script may be installing
  # All groups in one call: pip then checks that they agree. setuptools builds the command without fetching anything.
  for group in "$@"; do files+=(-r "$root/requirements/$group.txt"); done
  echo "installing ${missing[*]:-the command} (once; about a minute)" >&2
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --require-hashes "${files[@]}" \
    -r "$root/requirements/build.txt" || {
    echo "installation failed: is a package index reachable? (pip config list)" >&2
    return 1
  }
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index \
    -e "$root" || return
  for group in "$@"; do cp "$root/requirements/$group.txt" "$venv/.installed-$group"; done
  exec 9>&-
}

_find_python() {
  local candidate candidates=(python3 python3.13 python3.12 python3.11)
  [ -z "${PYTHON-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && {
      command -v "$candidate"
      return 0
    }
  done
  echo "Python 3.11 or newer is needed, and ${candidates[*]} is not: install python3 and python3-venv, or name one in PYTHON" >&2
  return 1
}
