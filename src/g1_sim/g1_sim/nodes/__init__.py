"""The simulation on the robot's topics."""
