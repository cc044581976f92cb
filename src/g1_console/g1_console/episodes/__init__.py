"""`g1 dataset browse`, one room a file: `catalogue` knows the episodes and what is to change,
`opened` decodes them, `player` shows one, `page` answers the grid. No ROS.
"""
