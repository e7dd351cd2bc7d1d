"""How a person mends a row: one sentence for each reason code, to be done in the source database or by a policy.

Here: words for a data steward. Not here: the rules behind the codes (`values` and the file of each entity).
"""

from collections.abc import Mapping

REMEDIES: Mapping[str, str] = {
    "DUPLICATE_KEY": "Different rows share this key: decide which is right, and remove or renumber the others.",
    "MISSING_KEY": "Enter the missing key, the row's own or that of the row it refers to.",
    "INVALID_KEY": "Correct the key: a whole number from 0 on, or for a transaction a text of at most 64 characters;"
    " in a database that is copied, the whole id, as ACCT-00000042.",
    "MISSING_VALUE": "Enter the missing value; this column may not be empty.",
    "INVALID_NUMBER": "Enter a plain number, with a point before its decimals and without currency or separators.",
    "SUB_CENT": "Correct the amount to whole cents, or the rate to at most 6 decimals; nothing is rounded here.",
    "OUT_OF_RANGE": "Correct the number: amounts are below 10 trillion, fees not negative, rates from 0 to 100.",
    "UNKNOWN_CODE": "Correct the code, or add a legacy one by the policy product_type, account_status or"
    " transaction_type.",
    "INVALID_DATE": "Enter a real date as YYYY-MM-DD, or name the format in use by the policy date_formats.",
    "INVALID_TEXT": "Replace the binary data in this column by text.",
    "INVALID_ENCODING": "Store the text as UTF-8, or name the code page in use by the policy legacy_encoding.",
    "NUL_CHARACTER": "Remove the character U+0000 from the text.",
    "INVALID_EMAIL": "Correct or empty the address, or load such customers without it by policy: invalid_email=null.",
    "ZERO_AMOUNT": "Enter the amount that was moved, or remove the transaction if nothing was.",
    "SIGN_CONFLICT": "Correct the sign or the type: credits and interest are positive.",
    "ORPHAN": "Enter the row it refers to, which does not exist, or correct the reference.",
    "PARENT_REJECTED": "Mend the row it refers to, which is rejected itself; then this one follows.",
    "EXACT_DUPLICATE": "Nothing needs to be done: an identical row was kept.",
    "INACTIVE": "Nothing needs to be done, unless it is still in use: then set it active.",
    "PARENT_EXCLUDED": "Nothing needs to be done, unless it is to move: then set active what it refers to.",
    "TRUNCATED": "It is loaded: check that nothing of importance was cut off.",
    "DEFAULTED": "It is loaded with the snapshot's time: enter the true date if it is known.",
    "SENTINEL_DATE": "It is loaded without this date: enter the true one if there is one.",
    "KEPT_INACTIVE": "It is loaded since accounts refer to it: check whether they, or its being inactive, are right.",
}
"""Reason code -> what to do; complete for every code of the contract."""


def remedy(reasons: str) -> str:
    """Return what to do about a defect, a sentence for each of its comma-separated reasons."""
    return " ".join(REMEDIES[reason] for reason in reasons.split(","))
