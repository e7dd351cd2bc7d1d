"""HOW an Account Processing System is copied to another database: snapshot, judged rows, loaded tables, proof."""
