#!/usr/bin/env bash
# Makes the Python environment of a benchmark's simulator, .venv-NAME in this folder, from requirements/benchmarks/NAME.txt.
#
#   scripts/benchmark_venv.sh libero      about two minutes, 2.1 GB; a second run: under a second
#
# The suite's own packages are found there by a path, not installed: what the simulator's side imports of them needs numpy and msgpack.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=$1
venv=.venv-$name
wanted=$(cat "requirements/benchmarks/$name.txt" scripts/benchmark_venv.sh | sha256sum)
[ "$(cat "$venv/.requirements" 2>/dev/null)" = "$wanted" ] && exit
python=$(PATH=${PATH#"${VIRTUAL_ENV:-}/bin:"} command -v "${PYTHON:-python3}") || { echo "python3 is missing; PYTHON=... names one" >&2; exit 1; }
printf '\033[1m[%s]\033[0m installing the simulator into %s (about two minutes)\n' "$name" "$venv" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check -r "requirements/benchmarks/$name.txt" \
    2> >(grep -v '^WARNING: Location' >&2)
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$PWD/src/dit4dit_benchmarks" "$PWD/src/dit4dit_policy" >"$packages/dit4dit.pth"
echo "$wanted" >"$venv/.requirements"
