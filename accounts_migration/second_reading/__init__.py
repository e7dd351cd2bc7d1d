"""The second reading: what every source row becomes, derived anew from the snapshot (contract sections 3 to 5).

Here: one cell read exactly (`cells`), whole columns read fast (`columns`), which column is of which kind (`forms`), and
rows judged (`reading`). Not here: SQL on the snapshot (`accounts_migration.databases.snapshot_rows`), and what the
reading is held against (`accounts_migration.reconciliation.second_reading`). Nothing of `accounts_migration.entities`
is used, on purpose: a fault in the cleaning then has nowhere to hide, because this account does not share it.
"""
