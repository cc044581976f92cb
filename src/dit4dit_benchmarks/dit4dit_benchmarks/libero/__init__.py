"""LIBERO: four suites of ten tasks, and 90 more, for one Panda arm."""
