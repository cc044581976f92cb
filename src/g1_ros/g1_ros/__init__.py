"""What every node of the suite stands on: configuration files, QoS, parameters, diagnostics."""
