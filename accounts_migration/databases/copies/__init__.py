"""Copying a whole target database, and putting a copy back in its place: one interface, and a side for each engine."""
