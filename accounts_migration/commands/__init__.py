"""The body of each command that has a chapter of its own: what it runs, and what it shows."""
