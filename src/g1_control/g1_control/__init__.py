"""Turns action chunks into safe motion of the G1 arms and grippers."""
