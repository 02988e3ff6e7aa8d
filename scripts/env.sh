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

# need_training_env makes .venv-training: MLflow and moto disagree about a package, so training has its own.
need_training_env() {
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  _need_venv "$root/.venv-training" "$root" runtime training development
}

_need_venv() {
  local venv=$1 root=$2 python group stamp missing=() files=()
  shift 2
  for group in "$@"; do
    stamp="$venv/.installed-$group"
    cmp -s "$root/requirements/$group.txt" "$stamp" || missing+=("$group")
  done
  [ -e "$venv/bin/millrace" ] && [ ${#missing[@]} -eq 0 ] && return 0

  if [ ! -x "$venv/bin/python" ]; then
    python=$(_find_python) || return
    echo "making $(basename "$venv") with $("$python" --version)" >&2
    "$python" -m venv "$venv" 2>/dev/null || {
      rm -rf "$venv"
      echo "cannot make a virtual environment: install Debian's python3-venv (apt-get install python3-venv)" >&2
      return 1
    }
  fi
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
}

_find_python() {
  local candidate
  for candidate in "${PYTHON-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && {
      command -v "$candidate"
      return 0
    }
  done
  echo "Python 3.11 or newer is needed (apt-get install python3 python3-venv), or name one in PYTHON" >&2
  return 1
}
