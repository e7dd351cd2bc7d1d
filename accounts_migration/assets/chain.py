"""The chain of an entity: raw legacy table -> cleaned frame -> loaded target table.

Here: one factory that makes the same three links for every entity. Not here: the rules (`accounts_migration.entities`),
SQL (`accounts_migration.databases`), what is checked on the links (`accounts_migration.assets.cleaning`, `.loading`).
"""

import dagster as dg

from accounts_migration.assets.cleaning import cleaned_asset
from accounts_migration.assets.loading import target_asset
from accounts_migration.assets.raw import raw_asset
from accounts_migration.entities import ENTITIES


def build_chains() -> list[dg.AssetsDefinition]:
    """Return the assets of all entities; a fifth entity needs nothing here."""
    return [make(entity) for entity in ENTITIES.values() for make in (raw_asset, cleaned_asset, target_asset)]
