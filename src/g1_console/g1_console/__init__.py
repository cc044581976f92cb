"""What a person looks at and presses: the command g1, plan markers, shadow report."""
