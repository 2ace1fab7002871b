"""Hand-made forms of operations, for hardware on which the backends' own are slow."""
