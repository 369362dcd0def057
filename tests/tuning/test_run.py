"""Tuning from end to end on a base of two layers, with torch and the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noria.config import Config
from noria.errors import NoriaError
from noria.models.own import LocalModels, OwnModels
from noria.tuning.rows import read_learning_rows
from noria.tuning.settings import TuneSettings
from noria.types import Label
from tests.tuning.conftest import TORCH, colour_rows, write_rows

torch = pytest.importorskip("torch", reason=TORCH)
pytest.importorskip("peft", reason=TORCH)
torch.set_num_threads(1)  # two layers: threads would only wait for each other

from noria.models.catalogue import Capabilities  # noqa: E402
from noria.models.engine.llama import LlamaEngine  # noqa: E402
from noria.tuning.encoding import encode, messages_of, pack, render  # noqa: E402
from noria.tuning.network import load_network  # noqa: E402
from noria.tuning.run import tune  # noqa: E402
from noria.tuning.training import Point  # noqa: E402

pytestmark = [pytest.mark.tune, pytest.mark.timeout(300)]
SETTINGS = TuneSettings(base="local:tiny", epochs=15, lr=1e-2, rank=8, batch_tokens=400)
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "alder birch?"},
    {"role": "assistant", "content": "blue, said I"},
    {"role": "user", "content": "and then 42?"},
    {"role": "assistant", "content": "green"},
]


def learned(tmp_path: Path, rows: list[dict[str, Any]] | None = None) -> Any:
    path = write_rows(tmp_path / "rows.jsonl", rows or colour_rows())
    return read_learning_rows(str(path), None, clearance=Label.RESTRICTED)


def engine(weights: Path, adapters: dict[str, Path] | None = None) -> LlamaEngine:
    return LlamaEngine(
        "tiny", weights, Capabilities(context=512), parallel=2, threads=1,
        adapters=lambda: adapters or {},
    )  # fmt: skip


def test_a_run_makes_a_model_that_answers_as_it_learned(config: Config, tmp_path: Path) -> None:
    points: list[Point] = []
    result = tune(config, "blue", learned(tmp_path), SETTINGS, points.append)
    told = result.as_json()
    assert told["model"] == "local:blue"
    assert told["steps"] == len(points) == points[-1].steps
    assert told["held_out_loss"] < result.card.figures["base_loss"] / 2
    assert Path(told["adapter"], "adapter_config.json").is_file()
    assert Path(told["gguf"]).is_file()
    own = OwnModels(config.home)
    card = own.get("blue")
    assert (card.base, card.parent, card.data[0]["rows"]) == ("tiny", "tiny", 24)
    assert card.samples[0]["after"].startswith("blue")
    assert not list((config.home / "tuning").glob("blue/*"))
    # Over the base, merged, and in torch: the same distribution.
    folder = own.folder / "blue"
    base = LocalModels(config)["tiny"].file
    assert base is not None
    over = engine(base, {"blue": folder / "adapter.gguf"})
    question = [{"role": "user", "content": "alder elm 77?"}]
    ask: dict[str, Any] = {"messages": question, "temperature": 0, "max_tokens": 4}
    assert over.chat(ask | {"model": "blue"}, bool)["choices"][0]["message"]["content"] == "blue"
    merged = engine(folder / "merged-q8_0.gguf")
    assert merged.chat(ask, bool)["choices"][0]["message"]["content"] == "blue"


def test_the_adapter_agrees_with_what_was_trained(config: Config, tmp_path: Path) -> None:
    """A wrong scale, or rows in another order, moves the probabilities far away."""
    tune(config, "blue", learned(tmp_path), SETTINGS)
    base = LocalModels(config)["tiny"].file
    assert base is not None
    folder = OwnModels(config.home).folder / "blue"
    network = load_network(base, SETTINGS)
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    set_peft_model_state_dict(network.model, load_peft_weights(str(folder / "adapter")))
    row = encode(network.tokenizer, TALK)
    network.model.eval()
    with torch.no_grad():
        expected = network.logits(row).softmax(-1)
    from noria.models.lora import merge

    merge(base, folder / "adapter.gguf", tmp_path / "exact.gguf", "f32", lambda *_: None)
    merged = engine(tmp_path / "exact.gguf")
    assert merged.tokens(render(network.tokenizer, messages_of(TALK))) == row.tokens
    for end in range(8, len(row.tokens), 5):
        found = merged.candidates(row.tokens[:end], 50)
        for token, probability in found.items():
            assert probability == pytest.approx(float(expected[end - 1, token]), abs=0.01)


def test_a_prefix_is_never_reused_under_another_adapter(config: Config, tmp_path: Path) -> None:
    rows = colour_rows()
    tune(config, "blue", learned(tmp_path, rows), SETTINGS)
    for row in rows:
        row["messages"][1]["content"] = "red"
    tune(config, "red", learned(tmp_path, rows), SETTINGS)
    own = OwnModels(config.home)
    base = LocalModels(config)["tiny"].file
    assert base is not None
    files: dict[str, Path] = {}
    shared = LlamaEngine(
        "tiny", base, Capabilities(context=512), parallel=1, threads=1, adapters=lambda: files
    )
    ask: dict[str, Any] = {
        "messages": [{"role": "user", "content": "alder elm 77?"}],
        "temperature": 0,
        "max_tokens": 4,
    }

    def answer(model: str) -> str:
        return str(shared.chat(ask | {"model": model}, bool)["choices"][0]["message"]["content"])

    plain = answer("tiny")
    # Registered while the engine runs.
    files |= {name: own.folder / name / "adapter.gguf" for name in ("blue", "red")}
    for name, said in (("blue", "blue"), ("red", "red"), ("tiny", plain)) * 3:
        assert answer(name).startswith(said), name


def test_what_is_learned_is_the_answers_and_their_ends(base: Path) -> None:
    network = load_network(base, SETTINGS)
    row = encode(network.tokenizer, TALK)
    kept = [token for token, one in zip(row.tokens, row.learned, strict=True) if one]
    assert network.tokenizer.decode(kept) == "blue, said I<|im_end|>green<|im_end|>"


def test_the_text_that_trains_is_the_text_that_is_served(base: Path) -> None:
    network = load_network(base, SETTINGS)
    served = engine(base)
    odd = [
        "",
        " ",
        "\n",
        "a  b",
        "42 + 7",
        "Grüße 東京 🎉",
        "<|im_end|>",
        "{{ x }}",
        "tab\t",
        "'\"\\",
    ]
    for number in range(100):
        messages = [{"role": "system", "content": odd[number % 7]}] if number % 3 == 0 else []
        messages.append({"role": "user", "content": odd[number % 10] + odd[number // 10]})
        if number % 2:
            messages.append({"role": "assistant", "content": odd[(number + 3) % 10] or "x"})
            messages.append({"role": "user", "content": f"again {odd[(number + 5) % 10]}"})
        text = render(network.tokenizer, messages_of(messages), ask=True)
        assert text == served.rendered(messages), messages
        told = network.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert told == served.tokens(text), text


def test_packed_conversations_do_not_see_each_other(base: Path) -> None:
    network = load_network(base, SETTINGS)
    network.model.eval()
    talks = [
        [{"role": "user", "content": f"{word} {word}?"}, {"role": "assistant", "content": word}]
        for word in ("alder", "birch", "cedar")
    ] + [[{"role": "system", "content": "Short."}, *TALK]]
    alone = [encode(network.tokenizer, talk) for talk in talks]
    packed = pack(alone, 400)
    assert len(packed) < len(alone)
    with torch.no_grad():
        apart = sum(float(network.loss(row)[0]) for row in alone)
        together = sum(float(network.loss(row)[0]) for row in packed)
    assert together == pytest.approx(apart, rel=1e-5)
    assert sum(len(row.tokens) for row in packed) < sum(len(row.tokens) for row in alone)
    assert sum(sum(row.learned) for row in packed) == sum(sum(row.learned) for row in alone)


SCRIPT = """
import sys, os, signal
from pathlib import Path
from noria.config import Config
from noria.tuning.rows import read_learning_rows
from noria.tuning.settings import TuneSettings
from noria.tuning import training
from noria.tuning.run import tune
from noria.types import Label
training._CHECKPOINT_SECONDS = 0.0
kill = int(sys.argv[3])
def progress(point):
    print(point.step, repr(point.loss), flush=True)
    if point.step == kill:
        os.kill(os.getpid(), signal.SIGKILL)
settings = TuneSettings(base="local:tiny", epochs=4, lr=5e-3, rank=4, batch_tokens=100)
learned = read_learning_rows(sys.argv[2], None, clearance=Label.PUBLIC)
tune(Config(home=Path(sys.argv[1])), "blue", learned, settings, progress)
"""


def run_script(home: Path, rows: Path, kill: int = 0) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home), str(rows), str(kill)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.splitlines()


def test_a_killed_run_goes_on_along_the_same_curve(config: Config, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", colour_rows())
    code, first = run_script(config.home, rows, kill=5)
    assert code == -signal.SIGKILL
    assert OwnModels(config.home).find("blue") is None
    code, rest = run_script(config.home, rows)
    assert code == 0
    own = OwnModels(config.home)
    one = (own.folder / "blue" / "adapter" / "adapter_model.safetensors").read_bytes()
    own.remove("blue")
    code, whole = run_script(config.home, rows)
    assert code == 0
    assert [*first[: int(rest[0].split()[0]) - 1], *rest] == whole
    # Two runs with one seed, one of them killed: the same adapter.
    again = (own.folder / "blue" / "adapter" / "adapter_model.safetensors").read_bytes()
    assert one == again


def test_a_diverging_run_stops_and_says_so(config: Config, tmp_path: Path) -> None:
    settings = replace(SETTINGS, method="full", lr=0.9, epochs=30, batch_tokens=100)
    result = tune(config, "wild", learned(tmp_path), settings)
    assert result.card.figures["stopped"] in ("diverged", "early")
    assert result.card.figures["held_out_loss"] <= result.card.figures["base_loss"]


def test_an_interrupt_keeps_the_best(config: Config, tmp_path: Path) -> None:
    def progress(point: Point) -> None:
        if point.step == 4:
            raise KeyboardInterrupt

    result = tune(config, "cut", learned(tmp_path), replace(SETTINGS, batch_tokens=100), progress)
    assert result.card.figures["stopped"] == "interrupted"
    assert OwnModels(config.home).find("cut") is not None


def test_all_weights_and_preferences(config: Config, tmp_path: Path) -> None:
    full = tune(config, "full", learned(tmp_path), replace(SETTINGS, method="full", lr=1e-3))
    assert full.adapter is None
    ask: dict[str, Any] = {
        "messages": [{"role": "user", "content": "alder elm 77?"}],
        "temperature": 0,
        "max_tokens": 4,
    }
    said = engine(full.gguf).chat(ask, bool)["choices"][0]["message"]["content"]
    assert said == "blue"
    rows = [
        {
            "id": row["id"],
            "messages": row["messages"][:1],
            "chosen": [{"role": "assistant", "content": "green"}],
            "rejected": [{"role": "assistant", "content": "blue"}],
        }
        for row in colour_rows()
    ]
    path = write_rows(tmp_path / "preferences.jsonl", rows)
    preferences = read_learning_rows(str(path), None, clearance=Label.PUBLIC, preferences=True)
    settings = replace(SETTINGS, method="dpo", base="local:full", lr=5e-3)
    dpo = tune(config, "green", preferences, settings)
    assert dpo.card.figures["base_loss"] == pytest.approx(0.693147, abs=1e-4)
    assert dpo.card.figures["held_out_loss"] < 0.3


def test_a_labelled_model_is_labelled_and_a_taken_name_is_refused(
    config: Config, tmp_path: Path
) -> None:
    rows = colour_rows()
    rows[0]["label"] = "confidential"
    made = tune(config, "inner", learned(tmp_path, rows), replace(SETTINGS, epochs=1))
    assert made.card.label == "confidential"
    with pytest.raises(NoriaError, match="already"):
        tune(config, "inner", learned(tmp_path, rows), SETTINGS)


def test_a_plan_counts_memory_and_time(config: Config, tmp_path: Path) -> None:
    from noria.tuning.planning import make_plan

    plan = make_plan(config, learned(tmp_path), SETTINGS)
    by_name = {(one.method, one.checkpointing): one for one in plan.options}
    assert by_name["lora", False].verdict == "fits"
    assert by_name["full", False].bytes > by_name["lora", False].bytes
    assert by_name["lora", True].seconds > by_name["lora", False].seconds
    assert json.dumps(plan.as_json())
