"""A stand-in for the hardware: MuJoCo G1 with the same topics, tasks and scripted experts."""
