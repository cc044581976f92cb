"""Starting it all: the description of each system, and the command `g1`."""
