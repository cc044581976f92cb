"""Questions to a small model, each answered by trainings that differ in one thing."""
