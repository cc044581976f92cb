"""How well a policy does its tasks."""
