"""Sub-commands of `lethe`."""
