"""The jobs: which assets are materialized together.

Here: selections by name. Not here: how a run is launched (`accounts_migration.cli`, the UI).
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SNAPSHOT_JOB, PREPARE_JOB, LOAD_JOB, VERIFY_JOB = "snapshot", "prepare", "load", "verify"

_SNAPSHOT = dg.AssetSelection.assets("legacy/snapshot")
_PREPARED = dg.AssetSelection.groups("legacy", "cleaned") - _SNAPSHOT
_CONTENT = dg.AssetSelection.assets("validation/content")
_LOADED = dg.AssetSelection.groups("target", "validation") - _CONTENT


def build_jobs() -> list[UnresolvedAssetJobDefinition]:
    """Return the jobs in the order in which a migration runs them."""
    return [
        dg.define_asset_job(SNAPSHOT_JOB, _SNAPSHOT, description="Copy the legacy database and register its batches."),
        dg.define_asset_job(
            PREPARE_JOB,
            _PREPARED,
            description="Read and clean all entities; nothing is written to the target.",
        ),
        dg.define_asset_job(
            LOAD_JOB, _LOADED, description="Load what was accepted, add the constraints, validate everything."
        ),
        dg.define_asset_job(
            VERIFY_JOB,
            dg.AssetSelection.groups("validation"),
            description="Compare the whole target with the present snapshot, row by row; write nothing.",
        ),
    ]
