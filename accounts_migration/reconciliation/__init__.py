"""The proof: what the source promises against what the target holds. No Dagster, no SQL of its own."""
