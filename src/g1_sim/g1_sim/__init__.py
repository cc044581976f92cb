"""A stand-in for the hardware: MuJoCo G1 with the same topics, tasks and scripted experts."""

import os

from g1_sim.rendering import rendering_problem

if problem := rendering_problem(os.environ):
    raise SystemExit(f'error: {problem}')
