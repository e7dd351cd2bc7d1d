"""A file for each version of the target's schema, written out: what was released never changes."""
