"""What the plausibility findings mean, in words for a person (contract section 7).

Here: the sentence that holds where nothing is found, for each kind. Not here: the counting
(`accounts_migration.databases.plausibility`). A finding never blocks: the source holds these rows as they are.
"""

MEANINGS = {
    "balance_differs_from_last_balance_after": "The balance is what followed the account's last transaction.",
    "balance_differs_from_sum_of_movements": "The balance is what the account's transactions add up to.",
    "closed_with_balance": "A closed account has no balance.",
    "closed_without_date": "A closed account has a closing date.",
    "closing_before_opening": "No account was closed before it was opened.",
    "duplicate_email": "No two customers share an e-mail address.",
    "customer_in_the_future": "No customer was created after the day of the snapshot.",
    "account_in_the_future": "No account was opened or closed after the day of the snapshot.",
    "transaction_in_the_future": "No transaction is dated after the day of the snapshot.",
}
"""Kind of finding -> what is expected, in the order in which they are asked."""
