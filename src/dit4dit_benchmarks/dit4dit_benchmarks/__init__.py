"""Published benchmarks as environments, each simulator in a Python environment of its own."""
