"""Episodes on disk: LeRobot v2.1 writer and reader, statistics."""
