"""From an observation to a chunk of joint targets."""
