"""Stand-ins for hardware at the wire: SDK robot, servo bus, headset, footage."""
