"""The world behind the engine's ports: disks, databases, processes and networks."""
