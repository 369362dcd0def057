"""What happened and what it cost: journals, the database, budgets, keys and reports.

Names are loaded when they are first used, so that `noria.store.journal.writer`, which every process
writes to on the path of a request, does not bring the database along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.store.budgets.budgets import (
        BudgetRow,
        BudgetStatus,
        budget_status,
        known_budgets,
        list_budgets,
        set_budget,
        sync_budgets,
    )
    from noria.store.budgets.leases import (
        ChangeUnseen,
        Grant,
        Shortage,
        acknowledge,
        count_holders,
        grant,
        grant_all,
        heartbeat,
        register_holder,
    )
    from noria.store.budgets.spending import SpendRow, spend
    from noria.store.database import Database, open_database
    from noria.store.generation import Generation, poll_generation
    from noria.store.intake.intake import Intake, take_in
    from noria.store.journal.format import Record, read_records
    from noria.store.journal.writer import Journal
    from noria.store.keys.key import Key
    from noria.store.keys.keys import (
        create_key,
        digest,
        find_key,
        find_key_by_id,
        list_keys,
        revoke_key,
    )
    from noria.store.keys.owner_key import owner_key, write_secret
    from noria.store.keys.sessions import end_session, find_session, new_link, redeem_link, sign_in
    from noria.store.traces.exports import export_counts
    from noria.store.traces.lineage import Answer, Redaction, answers_of, mark_deleted, redact
    from noria.store.traces.marks import mark_of, marks_of, raise_mark, trace_owner, trace_owners
    from noria.store.traces.reports import Bucket, Counter, Group, Overview, counters, overview
    from noria.store.traces.spans import Page, find_spans
    from noria.store.traces.trace import (
        Evidence,
        Recorded,
        content_of,
        evidence_of,
        find_trace,
        find_tree,
    )

_NAMES_OF = {
    "budgets.budgets": "BudgetRow BudgetStatus budget_status known_budgets list_budgets set_budget "
    "sync_budgets",
    "generation": "Generation poll_generation",
    "database": "Database open_database",
    "traces.exports": "export_counts",
    "journal.format": "Record read_records",
    "intake.intake": "Intake take_in",
    "journal.writer": "Journal",
    "keys.key": "Key",
    "keys.keys": "create_key digest find_key find_key_by_id list_keys revoke_key",
    "budgets.leases": "ChangeUnseen Grant Shortage acknowledge count_holders grant grant_all "
    "heartbeat register_holder",
    "traces.lineage": "Answer Redaction answers_of mark_deleted redact",
    "traces.marks": "mark_of marks_of raise_mark trace_owner trace_owners",
    "keys.owner_key": "owner_key write_secret",
    "traces.reports": "Bucket Counter Group Overview counters overview",
    "keys.sessions": "end_session find_session new_link redeem_link sign_in",
    "budgets.spending": "SpendRow spend",
    "traces.spans": "Page find_spans",
    "traces.trace": "Evidence Recorded content_of evidence_of find_trace find_tree",
}

__all__ = [
    "Answer",
    "Bucket",
    "BudgetRow",
    "BudgetStatus",
    "ChangeUnseen",
    "Counter",
    "Database",
    "Evidence",
    "Generation",
    "Grant",
    "Group",
    "Intake",
    "Journal",
    "Key",
    "Overview",
    "Page",
    "Record",
    "Recorded",
    "Redaction",
    "Shortage",
    "SpendRow",
    "acknowledge",
    "answers_of",
    "budget_status",
    "content_of",
    "count_holders",
    "counters",
    "create_key",
    "digest",
    "end_session",
    "evidence_of",
    "export_counts",
    "find_key",
    "find_key_by_id",
    "find_session",
    "find_spans",
    "find_trace",
    "find_tree",
    "grant",
    "grant_all",
    "heartbeat",
    "known_budgets",
    "list_budgets",
    "list_keys",
    "mark_deleted",
    "mark_of",
    "marks_of",
    "new_link",
    "open_database",
    "overview",
    "owner_key",
    "poll_generation",
    "raise_mark",
    "read_records",
    "redact",
    "redeem_link",
    "register_holder",
    "revoke_key",
    "set_budget",
    "sign_in",
    "spend",
    "sync_budgets",
    "take_in",
    "trace_owner",
    "trace_owners",
    "write_secret",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
