"""Records what cameras and joints do as a LeRobot dataset: recorder_node."""
