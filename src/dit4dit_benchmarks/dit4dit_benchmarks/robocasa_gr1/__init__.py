"""RoboCasa-GR1: 24 tasks of a humanoid's arms, waist and hands at a table."""
