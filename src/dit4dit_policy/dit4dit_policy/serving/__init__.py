"""Policies over a socket: what goes over the wire, and the server."""
