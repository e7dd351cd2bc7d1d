"""The names in the demo: people of many scripts, products, companies; none of them is anybody's.

Here: constants. Not here: who gets which (`bank`, `movements`).
"""

import unicodedata

PRODUCT_STYLES = (
    "BASIC CHECKING",
    "PLUS CHECKING",
    "PREMIUM CHECKING",
    "CURRENT ACCOUNT",
    "Current Account GOLD",
)
PRODUCT_AUDIENCES = (
    "PERSONAL", "STUDENT", "WOMEN'S", "SENIOR", "SMALL BUSINESS", "FARMERS'", "USA Saver", "NON-RESIDENT",
)  # fmt: skip
FIRST_NAMES = (
    "ANNA", "JAMES", "MARY", "JOHN", "PATRICIA", "ROBERT", "LINDA", "MICHAEL", "ELIZABETH", "DAVID",
    "SUSAN", "JEAN-PIERRE", "MARIE-CLAIRE", "JOSÉ", "MARÍA", "JÜRGEN", "BJÖRN", "ÅSA", "ŁUKASZ",
    "ZOFIA", "ŞULE", "ÇAĞLA", "Siobhán", "Niamh", "DeShawn", "LaToya", "AOIFE", "FRANÇOIS", "ANDRÉ",
    "INÊS", "JOÃO", "ĐORĐE", "ŽELJKA", "ΣΟΦΊΑ", "ΓΙΏΡΓΟΣ", "ДМИТРИЙ", "ОЛЬГА", "Ирина", "محمد",
    "فاطمة", "דוד", "שרה", "伟", "秀英", "さくら", "지훈", "อรุณ", "PRIYA", "ARJUN", "NGUYỄN", "thomas",
    "julia", "Peter", "Helen", "Jo Ann", "J. R.", "MARY ANN", "OLUWASEUN",
)  # fmt: skip
LAST_NAMES = (
    "SMITH", "JONES", "TAYLOR", "BROWN", "WILSON", "MÜLLER", "SCHÄFER", "GROSS", "O'NEIL",
    "O\u2019BRIEN", "D'ANGELO", "McDonald", "MacLeod", "MCCARTHY", "de la Cruz", "van der Berg",
    "von Trapp", "DI STEFANO", "SMITH-JONES", "ST. JOHN", "GARCÍA", "FERNÁNDEZ", "MUÑOZ", "GONÇALVES",
    "LEFÈVRE", "DUPRÉ", "ØSTERGAARD", "ÅKESSON", "HALLDÓRSSON", "KOWALSKI", "WIŚNIEWSKA", "NOVÁK",
    "DVOŘÁK", "NAGY", "IONESCU", "ŞAHIN", "YILMAZ", "ПЕТРОВ", "Иванова", "ΠΑΠΑΔΌΠΟΥΛΟΣ", "الخطيب",
    "כהן", "王", "李", "佐藤", "김", "PATEL", "SINGH", "TRẦN", "OKONKWO", "MENSAH", "kelly", "murphy",
    "Da Silva", "Le Roux", "FitzGerald", "L'ÉCUYER", "BEN-DAVID", "Abd al-Rahman", "ROSSI",
)  # fmt: skip
DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "post.example", "firma.example")
COMPANIES = (
    "ACME STORES", "CORNER BAKERY", "CITY TRANSPORT", "GREEN GROCER", "WATER & POWER", "TELECOM PLUS",
    "BOOKS & MORE", "CAFÉ CENTRAL", "MÜNCHEN HBF", "PHARMACY 24", "NORTH INSURANCE", "SUNNY TRAVEL",
    "O'MALLEY'S", "TOWN COUNCIL", "HARDWARE DEPOT", "FILM CLUB", "GYM ONE", "SCHOOL FUND",
)  # fmt: skip


def _mail_name(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in letters if letter.isalpha()) or "client"


FIRST_MAILS = tuple(map(_mail_name, FIRST_NAMES))
LAST_MAILS = tuple(map(_mail_name, LAST_NAMES))
