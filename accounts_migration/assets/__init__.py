"""HOW rows flow: the entity chain, the snapshot, constraints, validation."""
