"""The definitions as expected data, so that no asset, check or job changes unseen; and that they load."""

import itertools
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.load_target import ModuleTarget, PyProjectFileTarget, WorkspaceFileTarget

from accounts_migration.definitions import build_defs
from accounts_migration.settings import Settings

PARENTS: dict[str, list[str]] = {
    "product": [],
    "customer": [],
    "account": ["customer", "product"],
    "transaction": ["account"],
}
JUDGED = [f"platform/judged/{entity}" for entity in PARENTS]
COPIED = sorted(f"platform/{entity}" for entity in PARENTS)
ASSETS = {
    "assessment/volumes": ("assessment", ["legacy/snapshot"]),
    "assessment/profile": ("assessment", ["legacy/snapshot"]),
    "assessment/dry_run": ("assessment", ["legacy/snapshot"]),
    "assessment/plan": ("assessment", ["assessment/dry_run", "assessment/volumes", "legacy/snapshot"]),
    "legacy/snapshot": ("legacy", []),
    "legacy/duplicates": ("legacy", ["legacy/snapshot"]),
    "legacy/products": ("legacy", ["legacy/snapshot"]),
    "legacy/customers": ("legacy", ["legacy/snapshot"]),
    "legacy/accounts": ("legacy", ["legacy/snapshot"]),
    "legacy/transactions": ("legacy", ["legacy/snapshot"]),
    "cleaned/products": (
        "cleaned",
        ["legacy/accounts", "legacy/duplicates", "legacy/products", "legacy/snapshot"],
    ),
    "cleaned/customers": (
        "cleaned",
        ["legacy/accounts", "legacy/customers", "legacy/duplicates", "legacy/snapshot"],
    ),
    "cleaned/accounts": (
        "cleaned",
        ["cleaned/customers", "cleaned/products", "legacy/accounts", "legacy/duplicates", "legacy/snapshot"],
    ),
    "cleaned/transactions": (
        "cleaned",
        ["cleaned/accounts", "legacy/duplicates", "legacy/snapshot", "legacy/transactions"],
    ),
    "operations/target_backup": ("operations", ["legacy/snapshot"]),
    "operations/backup_retention": ("operations", ["operations/target_backup"]),
    "preflight": ("preflight", ["assessment/plan", "legacy/snapshot", "operations/target_backup"]),
    "target/product": ("target", ["cleaned/products", "legacy/snapshot", "operations/target_backup", "preflight"]),
    "target/customer": ("target", ["cleaned/customers", "legacy/snapshot", "operations/target_backup", "preflight"]),
    "target/account": (
        "target",
        [
            "cleaned/accounts",
            "legacy/snapshot",
            "operations/target_backup",
            "preflight",
            "target/customer",
            "target/product",
        ],
    ),
    "target/transaction": (
        "target",
        ["cleaned/transactions", "legacy/snapshot", "operations/target_backup", "preflight", "target/account"],
    ),
    **{
        f"platform/judged/{entity}": (
            "platform",
            sorted(["platform/snapshot", *(f"platform/judged/{parent}" for parent in parents)]),
        )
        for entity, parents in PARENTS.items()
    },
    **{
        f"platform/{entity}": (
            "platform",
            sorted(
                [
                    "platform/snapshot",
                    "platform/target_backup",
                    f"platform/judged/{entity}",
                    *(f"platform/{one}" for one in parents),
                ]
            ),
        )
        for entity, parents in PARENTS.items()
    },
    "platform/snapshot": ("platform", []),
    "platform/target_backup": ("platform", sorted(JUDGED)),
    "platform/bookkeeping": ("platform", sorted([*COPIED, "platform/snapshot"])),
    "platform/constraints": ("platform", COPIED),
    "platform/other_tables": ("platform", ["platform/constraints", "platform/snapshot", "platform/target_backup"]),
    "platform/proof": ("platform", ["platform/bookkeeping", "platform/constraints", "platform/snapshot"]),
    "platform/report": ("platform", ["platform/other_tables", "platform/proof"]),
    "target/constraints": ("target", ["target/account", "target/customer", "target/product", "target/transaction"]),
    "validation/referential_integrity": ("validation", ["target/constraints"]),
    "validation/content": ("validation", ["legacy/snapshot", "target/constraints"]),
    "validation/reconciliation": ("validation", ["legacy/snapshot", "validation/referential_integrity"]),
    "validation/plausibility": ("validation", ["target/constraints"]),
    "validation/second_reading": ("validation", ["target/constraints"]),
    "validation/report": (
        "validation",
        ["validation/plausibility", "validation/reconciliation", "validation/second_reading"],
    ),
    "post_migration/optimised": (
        "post_migration",
        [
            "validation/content",
            "validation/reconciliation",
            "validation/referential_integrity",
            "validation/second_reading",
        ],
    ),
    "post_migration/application": ("post_migration", ["post_migration/optimised"]),
    "post_migration/api": ("post_migration", ["post_migration/application"]),
    "post_migration/user_workflows": ("post_migration", ["post_migration/optimised"]),
    "post_migration/archive": (
        "post_migration",
        [
            "post_migration/api",
            "post_migration/application",
            "post_migration/optimised",
            "post_migration/user_workflows",
            "validation/report",
        ],
    ),
    "post_migration/checklist": (
        "post_migration",
        [
            "post_migration/api",
            "post_migration/application",
            "post_migration/archive",
            "post_migration/optimised",
            "post_migration/user_workflows",
        ],
    ),
}
PARTITIONED = {
    "legacy/transactions",
    "cleaned/transactions",
    "target/transaction",
    "platform/judged/transaction",
    "platform/transaction",
}
WRITERS = {"target/product", "target/customer", "target/account", "target/transaction", "target/constraints"}
COPIERS = {*COPIED, "platform/target_backup", "platform/bookkeeping", "platform/constraints", "platform/other_tables"}
POOLED = WRITERS | COPIERS | {"operations/target_backup", "post_migration/optimised"}
CLEANED_CHECKS = {"pandera_schema": True, "rejects_within_policy": True, "accounting_law": True}
TARGET_CHECKS = {"accounting_law": False, "control_totals": False, "content": False}
CHECKS = {
    **dict.fromkeys(JUDGED, CLEANED_CHECKS),
    **dict.fromkeys(COPIED, TARGET_CHECKS),
    "platform/target_backup": {"restored_and_compared": False},
    "platform/bookkeeping": {"arrived": False},
    "platform/other_tables": {"equal": False},
    "platform/proof": {"accounting_law": False, "control_totals": False, "complete": False, "no_orphans": False},
    "assessment/dry_run": {"accounting_law": False, "rejects_within_policy": False},
    "assessment/plan": {"disk_space": False},
    "cleaned/products": CLEANED_CHECKS,
    "cleaned/customers": CLEANED_CHECKS,
    "cleaned/accounts": CLEANED_CHECKS,
    "cleaned/transactions": CLEANED_CHECKS,
    "operations/target_backup": {"restored_and_compared": False},
    "preflight": dict.fromkeys(
        [
            "source_database_access",
            "target_database_provisioned",
            "target_rights",
            "target_schema",
            "data_volume_assessed",
            "network_bandwidth",
            "migration_window",
            "stakeholder_approval",
            "rollback_plan",
            "backup_strategy",
            "disk_space",
        ],
        True,
    ),
    "target/product": TARGET_CHECKS,
    "target/customer": TARGET_CHECKS,
    "target/account": TARGET_CHECKS,
    "target/transaction": TARGET_CHECKS,
    "validation/referential_integrity": {"no_orphans": False},
    "validation/content": {"product": False, "customer": False, "account": False, "transaction": False},
    "validation/second_reading": {"product": False, "customer": False, "account": False, "transaction": False},
    "validation/reconciliation": {"accounting_law": False, "control_totals": False, "complete": False},
    "validation/plausibility": {
        "balance_differs_from_last_balance_after": False,
        "balance_differs_from_sum_of_movements": False,
        "closed_with_balance": False,
        "closed_without_date": False,
        "closing_before_opening": False,
        "duplicate_email": False,
        "customer_in_the_future": False,
        "account_in_the_future": False,
        "transaction_in_the_future": False,
    },
    "post_migration/optimised": {"optimised": False},
    "post_migration/application": {"configuration_updated": False, "caches_cleared": False},
    "post_migration/api": {"every_url_answers": False},
    "post_migration/user_workflows": {
        "customer_with_accounts": False,
        "statement_of_a_month": False,
        "balance": False,
        "totals": False,
    },
    "post_migration/archive": {"archived": False},
    "post_migration/checklist": {
        "validate_row_counts": False,
        "verify_data_integrity": False,
        "check_referential_integrity": False,
        "validate_balance_totals": False,
        "smoke_test_api": False,
        "test_user_workflows": False,
        "update_application_configuration": False,
        "clear_application_caches": False,
        "update_documentation": False,
        "notify_stakeholders": False,
        "schedule_backup": False,
        "monitor_performance": False,
        "archive_migration_logs": False,
    },
}
JOBS = {
    "assess": {
        "legacy/snapshot",
        "assessment/volumes",
        "assessment/profile",
        "assessment/dry_run",
        "assessment/plan",
    },
    "preflight_checklist": {"operations/target_backup", "preflight"},
    "snapshot": {"legacy/snapshot"},
    "prepare": {
        "legacy/duplicates",
        "legacy/products",
        "legacy/customers",
        "legacy/accounts",
        "legacy/transactions",
        "cleaned/products",
        "cleaned/customers",
        "cleaned/accounts",
        "cleaned/transactions",
    },
    "load": {
        "operations/target_backup",
        "target/product",
        "target/customer",
        "target/account",
        "target/transaction",
        "target/constraints",
        "validation/referential_integrity",
        "validation/reconciliation",
    },
    "verify": {
        "validation/content",
        "validation/referential_integrity",
        "validation/reconciliation",
        "validation/second_reading",
    },
    "report": {"validation/plausibility", "validation/report", "validation/second_reading"},
    "backup": {"operations/backup_retention", "operations/target_backup"},
    "post_migration": {
        "post_migration/optimised",
        "post_migration/application",
        "post_migration/api",
        "post_migration/user_workflows",
        "post_migration/archive",
        "post_migration/checklist",
    },
}
COPYING = {
    *COPIED,
    *(f"platform/{name}" for name in ("target_backup", "bookkeeping", "constraints", "proof", "report")),
}
COPY_JOBS = {
    "copy_snapshot": {"platform/snapshot"},
    "copy_prepare": set(JUDGED),
    "copy": COPYING,
    "copy_all_tables": COPYING | {"platform/other_tables"},
}
APPROACHES = ["big_bang", "phase_1_reference", "phase_2_accounts", "phase_3_history", "phase_4_recent"]
CHAINS = [
    ("legacy/products", "cleaned/products", "target/product"),
    ("legacy/customers", "cleaned/customers", "target/customer"),
    ("legacy/accounts", "cleaned/accounts", "target/account"),
    ("legacy/transactions", "cleaned/transactions", "target/transaction"),
]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        source_db=home / "legacy.db", target_db="t.db", copy_from="from.db", copy_to="to.db", migration_home=home
    )
    return build_defs(settings=settings)


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> Any:
    return definitions.resolve_asset_graph()


def named(keys: Any) -> list[str]:
    return sorted(key.to_user_string() for key in keys)


def nodes(graph: Any) -> Mapping[str, Any]:
    return {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}


def test_assets_groups_and_dependencies(graph: Any) -> None:
    found = {name: (node.group_name, named(node.parent_keys)) for name, node in nodes(graph).items()}
    assert found == ASSETS


def test_only_the_chain_of_transactions_moves_in_batches(graph: Any) -> None:
    assert {name for name, node in nodes(graph).items() if node.partitions_def is not None} == PARTITIONED


def test_the_chain_of_transactions_shares_one_partitions_definition(graph: Any) -> None:
    found = {nodes(graph)[name].partitions_def for name in PARTITIONED}
    assert found == {dg.DynamicPartitionsDefinition(name="batches")}


def test_a_range_of_batches_is_one_run(graph: Any) -> None:
    policies = {name: node.backfill_policy for name, node in nodes(graph).items() if node.backfill_policy}
    assert policies == dict.fromkeys(PARTITIONED, dg.BackfillPolicy.single_run())


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[2])
def test_an_entity_is_a_chain_of_snapshot_raw_cleaned_and_loaded(graph: Any, chain: tuple[str, str, str]) -> None:
    links = ["legacy/snapshot", *chain]
    parents = {name: named(node.parent_keys) for name, node in nodes(graph).items()}
    assert [below for above, below in itertools.pairwise(links) if above in parents[below]] == links[1:]


def test_whatever_writes_the_target_or_copies_it_is_in_its_pool(graph: Any) -> None:
    assert {name: node.pools for name, node in nodes(graph).items() if node.pools} == {
        key: {"target"} for key in POOLED
    }


def test_checks_and_which_of_them_block(graph: Any) -> None:
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for key in graph.asset_check_keys:
        found[key.asset_key.to_user_string()][key.name] = graph.get(key).blocking
    assert found == CHECKS


def test_every_asset_is_described(graph: Any) -> None:
    assert [name for name, node in nodes(graph).items() if not (node.description or "").strip()] == []


def test_every_check_is_described(graph: Any) -> None:
    undescribed = [
        f"{key.asset_key.to_user_string()}:{key.name}"
        for key in graph.asset_check_keys
        if not graph.get_check_spec(key).description
    ]
    assert undescribed == []


@pytest.mark.parametrize("job", JOBS | COPY_JOBS)
def test_a_job_selects(definitions: dg.Definitions, job: str) -> None:
    layer = definitions.resolve_job_def(job).asset_layer
    assert {key.to_user_string() for key in layer.selected_asset_keys} == (JOBS | COPY_JOBS)[job]


def test_the_jobs_stand_in_the_order_of_a_migration(definitions: dg.Definitions) -> None:
    assert [job.name for job in definitions.jobs or []] == [*JOBS, *APPROACHES, "rollback", *COPY_JOBS]


@pytest.mark.parametrize("name", APPROACHES)
def test_an_approach_is_a_job_of_one_step_with_nothing_to_choose(definitions: dg.Definitions, name: str) -> None:
    job = definitions.resolve_job_def(name)
    assert ([node.name for node in job.nodes], job.partitions_def) == ([f"run_{name}"], None)
    assert job.tags["accounts_migration/target"] == str(Path("t.db").resolve())
    assert job.description


def test_the_one_sensor_starts_the_later_phases(definitions: dg.Definitions) -> None:
    found = {sensor.name: sorted(str(one.job_name) for one in sensor.targets) for sensor in definitions.sensors or []}
    assert found == {"start_next_phase": APPROACHES[2:]}


def test_every_job_is_described(definitions: dg.Definitions) -> None:
    jobs = [definitions.resolve_job_def(name) for name in JOBS | COPY_JOBS]
    assert [bool(job.description) for job in jobs] == [True] * len(JOBS | COPY_JOBS)


def test_every_job_names_its_target_by_an_absolute_path(definitions: dg.Definitions) -> None:
    tags = {name: definitions.resolve_job_def(name).tags.get("accounts_migration/target") for name in JOBS | COPY_JOBS}
    expected = dict.fromkeys(JOBS, str(Path("t.db").resolve())) | dict.fromkeys(COPY_JOBS, str(Path("to.db").resolve()))
    assert tags == expected


def test_the_definitions_validate(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_a_resource_may_be_replaced(tmp_path: Path) -> None:
    other = object()
    built = build_defs(settings=Settings(migration_home=tmp_path), resource_overrides={"target": other})
    assert (built.resources or {})["target"].resource_fn(None) is other


def test_the_definitions_load_before_anything_is_set(tmp_path: Path) -> None:
    """Opening the UI without a source and a target is no error, and writes nothing."""
    script = "from accounts_migration.definitions import defs; print(len(list(defs().resolve_all_asset_specs())))"
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "PYTHONPATH")}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)  # noqa: S603  # ours
    assert (done.stdout.strip(), list(tmp_path.iterdir())) == (str(len(ASSETS)), [])


@pytest.mark.parametrize(
    "target", [WorkspaceFileTarget(["workspace.yaml"]), PyProjectFileTarget("pyproject.toml")], ids=["workspace", "dg"]
)
def test_a_run_queued_by_the_shell_finds_its_code_in_the_ui(
    target: WorkspaceFileTarget | PyProjectFileTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon looks a queued run up by the name of its code location: under another name it waits for ever."""
    monkeypatch.chdir(Path(__file__).parents[1])
    shown_by_ui = ModuleTarget("accounts_migration.definitions", None, None, None)
    names = [[origin.location_name for origin in one.create_origins()] for one in (target, shown_by_ui)]
    assert names[0] == names[1]
