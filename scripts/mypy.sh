#!/usr/bin/env bash
# mypy on every package, its tests and the scripts; arguments are passed on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec mypy "$@" $(dirname src/*/*/__init__.py) scripts
