"""What surrounds a migration at night: backup and rollback of the target, and the service that uses it."""
