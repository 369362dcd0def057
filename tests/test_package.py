"""What the package promises as a whole: names, light imports, no traces of a machine."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

PUBLIC = {
    "noria": "App Budget Document Label Model Money Principal Span SpanKind Status Usage Verdict "
    "Window __version__ check step",
    "noria.apps": "App BatchReport Check Evidence Executor Function Judgement Model Placement "
    "Resource Run RunResult Variant Verdict as_api_error check close current_context "
    "follow_threads function_of judge load_app run_batch settle start step use_executor "
    "watch_rates",
    "noria.gateway": "Application Applications Gateway",
    "noria.http": "BufferedSink ResponseSink",
    "noria.server": "Router open_gateway run_intake run_worker",
    "noria.tracing": "ActiveSpan CallContext Runtime Trace TraceLabels blocked_loop current span",
    "noria.telemetry": "Destination Exporter Receiver destination prepare_export receiving_routes "
    "run_export run_spans",
    "noria.testing": "FORBID_REAL_REQUESTS FakeProvider Fault Owed Received Reply ToolCall "
    "forbid_real_requests",
    "noria.datasets": "Dataset Row digest_of list_datasets read_rows remove_dataset "
    "statistics_of write_rows",
    "noria.tuning": "LearningRows Plan TuneResult TuneSettings make_plan read_learning_rows tune",
    "noria.evals": "Agreement Asker Battles CRITERIA Decision Judge Judged Judgement Leaderboard "
    "LengthPreference McNemar Measure PairJudgement PairedDifference PositionBias Question "
    "Questions Rating Reason State Tally Unrated Verdict WinMatrix WinRate agreement "
    "both_orders corrected_mean krippendorff_alpha length_preference mcnemar "
    "mean_interval paired_bootstrap paired_difference parse_verdict position_bias "
    "questions_needed rate read_battles read_questions read_references relative_score "
    "repeatability self_preference shipped_questions win_rate",
    "noria.infra": "ClusterAway Executor LocalExecutor NotPlaceable RayExecutor RemoteFailure "
    "Resources UnpicklableValue WorkerDied executor_of",
    "noria.retrieval": "ChunkRow Chunking Document DocumentPage DocumentRow Failure Found Hit "
    "Index IndexRow Original Report Unreadable VectorStore find_document find_index "
    "list_chunks list_documents list_indexes search_index",
    "noria.plugins": "GROUP PluginRegistry Registry load_plugins registry",
    "noria.errors": "AnswerError ApiError AppError ConfigError EngineError HomeBusy NoriaError "
    "NotFound RealRequestForbidden StoreUnavailable WeightsError "
    "internal_error",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_pinned(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(PUBLIC[package].split())
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import noria", {"pydantic", "sqlalchemy", "typer", "starlette", "numpy", "asyncio"}),
        ("from noria import step", {"pydantic", "sqlalchemy", "starlette", "numpy"}),
        ("from noria import App, Model, check", {"sqlalchemy", "starlette", "numpy", "httpx2"}),
        ("import noria.store.journal.writer", {"sqlalchemy", "alembic", "pydantic"}),
        (
            "import noria.cli.app",
            {"sqlalchemy", "pydantic", "httpx2", "starlette", "numpy", "rich"},
        ),
        ("import noria.evals", {"numpy", "pyarrow", "sqlalchemy"}),
        ("import noria.datasets", {"numpy", "pyarrow", "sqlalchemy"}),
        ("import noria.server.worker", {"alembic", "starlette", "jinja2", "numpy", "xllamacpp"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(statement: str, heavy: set[str]) -> None:
    code = f"{statement}; import json, sys; print(json.dumps(list(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert not heavy & set(json.loads(loaded))
