"""The guide's checklist before a migration: each item judged from evidence, not from memory."""
