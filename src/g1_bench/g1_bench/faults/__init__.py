"""`g1 faults`: faults injected into a running system, and the reaction to each, timed."""
