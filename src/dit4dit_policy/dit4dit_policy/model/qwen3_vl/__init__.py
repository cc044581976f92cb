"""Qwen3-VL, the backbone of the paper's baseline: its configuration and networks."""
