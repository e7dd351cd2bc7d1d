"""Judging what people decided: the plan, the window and the approval.

Here: one function for each item, by the situation. Not here: reading a window or an approval (`window`, `approval`),
and the order of the list (`checklist`).
"""

from datetime import timedelta

from accounts_migration.assessment.tables import duration
from accounts_migration.preflight import items
from accounts_migration.preflight.approval import example, read_approval
from accounts_migration.preflight.items import Item, Verdict
from accounts_migration.preflight.situation import ASSESS, Situation
from accounts_migration.preflight.window import parse_window


def volume(at: Situation) -> Item:
    """Look for the plan, and whether a migration by it would be refused for its rejects."""
    plan = at.plan
    if plan is None:
        return Item(items.VOLUME, Verdict.failed, at.lacks_plan, ASSESS)
    refused = [f"{one.entity} {one.rejected:,}" for one in plan.outcomes if not one.is_accepted]
    if refused:
        return Item(
            items.VOLUME,
            Verdict.failed,
            "a migration would be refused, more rows are rejected than max_reject_rate allows: " + ", ".join(refused),
            "Mend the source, or allow such rows by the policy max_reject_rate, and assess again",
            {"plan": plan.digest},
        )
    tier = plan.recommendation
    return Item(
        items.VOLUME,
        Verdict.passed,
        f"{plan.volumes.accounts:,} accounts, {plan.volumes.transactions:,} transactions; "
        f"{duration(plan.estimated_seconds)} estimated",
        evidence={
            "plan": plan.digest,
            "measured at": plan.measured_at,
            "recommended approach": tier.approach,
            "estimated seconds": round(plan.estimated_seconds, 1),
        },
    )


def window(at: Situation) -> Item:
    """Hold the time, and the plan's estimate for what is to be moved, against the window."""
    if at.settings.migration_window is None:
        return Item(items.WINDOW, Verdict.not_configured, "MIGRATION_WINDOW is not set", "Set it, if you have one")
    opening = parse_window(at.settings.migration_window)
    local = at.now.astimezone()
    evidence: dict[str, str | int | float] = {
        "window": str(opening),
        "now": local.isoformat(timespec="seconds"),
        "times without an offset": f"local time of this machine, {local:%Z} (UTC{local:%z})",
    }
    remedy = "Wait for the window, or set another in MIGRATION_WINDOW"
    if at.now < opening.opens:
        wait = duration((opening.opens - at.now).total_seconds())
        return Item(items.WINDOW, Verdict.failed, f"{opening} opens in {wait}", remedy, evidence)
    if at.now >= opening.closes:
        since = duration((at.now - opening.closes).total_seconds())
        return Item(items.WINDOW, Verdict.failed, f"{opening} closed {since} ago", remedy, evidence)
    left = (opening.closes - at.now).total_seconds()
    evidence["seconds left"] = round(left)
    if at.plan is None:
        finding = f"{opening} is open for another {duration(left)}; how long the migration takes is not known: "
        return Item(items.WINDOW, Verdict.warning, finding + at.lacks_plan, ASSESS, evidence)
    needed = at.plan.estimated_seconds * at.share
    evidence["estimated seconds"] = round(needed, 1)
    if timedelta(seconds=needed) > opening.closes - at.now:
        finding = f"{opening} closes in {duration(left)}, and the migration takes about {duration(needed)}"
        return Item(items.WINDOW, Verdict.failed, finding, "Wait for a longer window, or migrate in phases", evidence)
    finding = f"{opening} is open for another {duration(left)}, the migration takes about {duration(needed)}"
    return Item(items.WINDOW, Verdict.passed, finding, evidence=evidence)


def approval(at: Situation) -> Item:
    """Hold the file of the approval against the present plan."""
    path = at.settings.migration_approval_file
    if path is None:
        finding = "MIGRATION_APPROVAL_FILE is not set"
        return Item(items.APPROVAL, Verdict.not_configured, finding, "Set it, if an approval is wanted")

    def failed(finding: str, remedy: str) -> Item:
        return Item(items.APPROVAL, Verdict.failed, finding, remedy)

    if at.plan is None:
        return failed(f"nothing can be approved: {at.lacks_plan}", f"{ASSESS}, and have the new plan approved")
    wanted = "Have it written as " + ", ".join(example(at.plan.digest).splitlines())
    try:
        found = read_approval(path)
    except ValueError as error:
        return failed(f"the approval {path} cannot be read: {error}", wanted)
    if found.plan_digest != at.plan.digest:
        return failed(f"{path} approves another plan, {found.plan_digest[:12]}…, not {at.plan.digest[:12]}…", wanted)
    if found.approved_at > at.now:
        return failed(f"{path} was approved in the future, at {found.approved_at.isoformat()}", wanted)
    when = found.approved_at.isoformat(timespec="minutes")
    evidence = {"plan": found.plan_digest, "approved by": found.approved_by, "approved at": when}
    return Item(items.APPROVAL, Verdict.passed, f"by {found.approved_by}, {when}", evidence=evidence)
