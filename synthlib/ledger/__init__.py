"""The replication ledger: what the papers claim, what was measured here, whether it held.

Read top to bottom: `papers` holds the papers' own numbers, `registry` the claims and how one is
judged, `closure` what a measured number depends on, `records` the files of what was measured,
`shown` the tables that chapters and pages show, `measuring` the command that measures over seeds
and verifies.
"""

from . import closure, measuring, papers, records, registry, shown
from .measuring import main, measure, run, verify
from .papers import PAPERS, paper_numbers, paper_table
from .records import FRESH, OLDER, VERIFIED, keep_rows, record, rows
from .registry import FIELD, claims, condition, judge, source
from .shown import (
    NOT_YET,
    between,
    count_states,
    export,
    mean_and_interval,
    measured,
    number,
    outcome,
    show,
    status,
    summary,
    table,
)

__all__ = [
    "FIELD", "FRESH", "NOT_YET", "OLDER", "PAPERS", "VERIFIED", "between", "claims", "closure",
    "condition", "count_states", "export", "judge", "keep_rows", "main", "mean_and_interval",
    "measure", "measured", "measuring", "number", "outcome", "paper_numbers", "paper_table",
    "papers", "record", "records", "registry", "rows", "run", "show", "shown", "source", "status",
    "summary", "table", "verify",
]  # fmt: skip
