"""What a migration would do, found out before it: volumes, profile, dry run and plan. No Dagster."""
