"""Measures the suite: benchmarks, fault injection, the demo and its report."""
