"""What the tests of several packages share. Imported by tests only."""
