"""WHAT a correct row is: one file per entity, the parsers of values, the defects. No Dagster, no database.

`ENTITIES` holds the four entities in the order in which they are loaded: parents before children. `PLATFORM_ENTITIES`
are the same, read from the tables of the Account Processing System itself.
"""

from accounts_migration.entities.account import ACCOUNT
from accounts_migration.entities.customer import CUSTOMER
from accounts_migration.entities.entity import Entity
from accounts_migration.entities.platform import (
    PLATFORM_ACCOUNT,
    PLATFORM_CUSTOMER,
    PLATFORM_PRODUCT,
    PLATFORM_TRANSACTION,
)
from accounts_migration.entities.product import PRODUCT
from accounts_migration.entities.transaction import TRANSACTION

ENTITIES: dict[str, Entity] = {entity.name: entity for entity in (PRODUCT, CUSTOMER, ACCOUNT, TRANSACTION)}

PLATFORM_ENTITIES: dict[str, Entity] = {
    entity.name: entity for entity in (PLATFORM_PRODUCT, PLATFORM_CUSTOMER, PLATFORM_ACCOUNT, PLATFORM_TRANSACTION)
}


def family_of(entity: Entity) -> dict[str, Entity]:
    """Return the four entities of the same origin."""
    return PLATFORM_ENTITIES if entity.origin == "platform" else ENTITIES


__all__ = ["ENTITIES", "PLATFORM_ENTITIES", "Entity", "family_of"]
