"""WHAT a correct row is: one file per entity, the parsers of values, the defects. No Dagster, no database.

`ENTITIES` holds the four entities in the order in which they are loaded: parents before children.
"""

from accounts_migration.entities.account import ACCOUNT
from accounts_migration.entities.customer import CUSTOMER
from accounts_migration.entities.entity import Entity
from accounts_migration.entities.product import PRODUCT
from accounts_migration.entities.transaction import TRANSACTION

ENTITIES: dict[str, Entity] = {entity.name: entity for entity in (PRODUCT, CUSTOMER, ACCOUNT, TRANSACTION)}

__all__ = ["ENTITIES", "Entity"]
