# Every target sets up what it needs first; the first set-up takes a few minutes, later ones under a second.
SHELL := /bin/bash
.PHONY: help setup demo record-demo dagger test test-slow test-browser lint docs bench faults libero robocasa clean

TASK ?= arrange_flower
SEED ?= 0
EPISODES ?= 5
ROUNDS ?= 1
PRESET ?= nano

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */make \1\t/' | expand -t 18

setup:  ## all that is needed, in this folder; writes setup.bash
	@scripts/setup.sh

demo: setup  ## the system against the simulated G1: TASK= SEED= DURATION=
	@source setup.bash && g1 demo --task $(TASK) $(if $(DURATION),--duration $(DURATION)) --seed $(SEED)

record-demo: TASK = pick_and_place
record-demo: setup  ## a scripted operator demonstrates: TASK= EPISODES= SEED=
	@source setup.bash && g1 record-demo --task $(TASK) --episodes $(EPISODES) --seed $(SEED)

dagger: TASK = pick_and_place
dagger: EPISODES = 20
dagger: setup  ## a policy learns from the scripted operator who helps it: TASK= ROUNDS= EPISODES= OUT=
	@source setup.bash && g1 dagger --task $(TASK) --rounds $(ROUNDS) --episodes $(EPISODES) $(if $(OUT),--out $(OUT))

# Two files at a time, as half of the time is waiting for nodes, and torch with one thread in each.
test: lint  ## lint, and every test that takes no GPU, no browser and no minutes
	@source setup.bash && OMP_NUM_THREADS=1 python -m pytest -m 'not slow and not browser and not gpu' --numprocesses 2 --dist loadfile

test-slow: setup  ## the tests that take minutes
	@source setup.bash && python -m pytest -m 'slow and not gpu'

test-browser: setup  ## the console and the episodes in a real browser; installs Chromium where there is none
	@command -v chromium chromium-browser google-chrome >/dev/null || timeout --foreground 300 bash -c 's=$$(command -v sudo || true); \
		$$s apt-get update && $$s apt-get install -y --no-install-recommends chromium fonts-dejavu-core' || \
		echo 'Chromium cannot be installed here: its tests are skipped'
	@source setup.bash && OMP_NUM_THREADS=1 python -m pytest -m browser

lint: setup  ## ruff and mypy
	@source setup.bash && ruff check . && ruff format --check . && scripts/mypy.sh

docs: setup  ## docs/parameters.md, from what the nodes declare
	@source setup.bash && python scripts/parameter_docs.py

bench: setup  ## how long policy (PRESET=nano|released), control, teleop take
	@source setup.bash && dit4dit bench --preset $(PRESET) && g1 bench

faults: setup  ## injects every fault of docs/faults.md, times the reactions
	@source setup.bash && g1 faults

libero:  ## the simulator of LIBERO, for `dit4dit eval --env libero`
	@scripts/benchmark_venv.sh libero

robocasa:  ## the simulator of RoboCasa-GR1, for `dit4dit eval --env gr1`
	@scripts/benchmark_venv.sh robocasa

clean:  ## removes what set-up made (not runs/)
	rm -rf .venv .venv-libero .venv-robocasa build install log setup.bash
