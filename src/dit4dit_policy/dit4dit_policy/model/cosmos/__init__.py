"""Cosmos-Predict2.5, the video backbone of the paper: its configuration, networks and weights."""
