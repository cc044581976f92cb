#!/usr/bin/env bash
set -e
source /opt/ros/jazzy/setup.bash
source /suite/setup.bash
exec "$@"
