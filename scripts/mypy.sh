#!/usr/bin/env bash
# mypy on every package, the scripts and the tests; arguments are passed on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC2046
exec mypy "$@" $(dirname src/*/*/__init__.py) scripts src/*/test test
