"""The report: the whole account of a migration on paper, for somebody to sign."""
