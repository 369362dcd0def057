"""Models of one's own: added whole or not at all, refused where no engine could load them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from noria.config import Config, load
from noria.errors import ConfigError, EngineError, NoriaError, NotFound, WeightsError
from noria.models.adding import add_model
from noria.models.catalogue import Catalogue
from noria.models.gguf import read_about
from noria.models.lora import permute_rows
from noria.models.own import Card, LocalModels, OwnModels
from noria.models.weights import Weights
from noria.types import Label


def write_gguf(path: Path, architecture: str = "llama", **values: str) -> Path:
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(128)
    for name, value in values.items():
        writer.add_string(name.replace("__", "."), value)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(path: Path, name: str, width: int) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    writer.add_tensor(f"{name}.lora_a", np.zeros((4, width), np.float32))
    writer.add_tensor(f"{name}.lora_b", np.zeros((576, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(home=tmp_path / "home")


def nothing_is_registered(config: Config) -> bool:
    folder = OwnModels(config.home).folder
    return not folder.exists() or not list(folder.iterdir())


def test_what_is_no_gguf_is_refused(config: Config, tmp_path: Path) -> None:
    for content in (b"", b"not a model", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64):
        (tmp_path / "bad.gguf").write_bytes(content)
        with pytest.raises((WeightsError, NoriaError)):
            add_model(config, "bad", str(tmp_path / "bad.gguf"))
        assert nothing_is_registered(config)


def test_a_cut_file_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf", tokenizer__chat_template="{{ x }}").read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises((WeightsError, NoriaError)):
            read_about(tmp_path / "cut.gguf")
    assert read_about(tmp_path / "whole.gguf").template == "{{ x }}"


def test_an_unknown_architecture_is_refused(config: Config, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "odd.gguf", "hovercraft")
    with pytest.raises(WeightsError, match="hovercraft"):
        add_model(config, "odd", str(path))
    assert nothing_is_registered(config)


def test_a_chat_model_needs_a_template(config: Config, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "base.gguf")
    with pytest.raises(WeightsError, match="no chat template"):
        add_model(config, "plain", str(path))


def test_what_the_engine_cannot_load_is_refused(config: Config, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "empty.gguf", tokenizer__chat_template="{{ x }}")
    with pytest.raises(EngineError, match=r"empty\.gguf"):
        add_model(config, "empty", str(path))
    assert nothing_is_registered(config)


def test_another_hash_than_the_pinned_one_is_refused(config: Config, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "base.gguf")
    with pytest.raises(WeightsError, match="not the file that was pinned"):
        add_model(config, "plain", str(path), sha256="0" * 64)


@pytest.mark.parametrize("name", ["smollm2", "Big Letters", "../up", "", ".hidden"])
def test_names_that_cannot_be(config: Config, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoriaError):
        add_model(config, name, str(tmp_path / "any.gguf"))


def test_a_full_disk_leaves_nothing(config: Config) -> None:
    own = OwnModels(config.home)

    def half_a_model() -> None:
        with own.preparing("mine") as work:
            (work / "model.gguf").write_bytes(b"half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(WeightsError, match="No space left"):
        half_a_model()
    assert nothing_is_registered(config)
    assert own.find("mine") is None


def test_what_a_killed_process_left_is_swept(config: Config) -> None:
    own = OwnModels(config.home)
    dead = own.folder / ".4194305-left"
    dead.mkdir(parents=True)
    with own.preparing("mine") as work:
        own.write(Card("mine", "chat", "x", "0" * 64, "model.gguf", 128, "mit"), work)
    assert not dead.exists()
    assert own.names() == ["mine"]


def test_a_card_comes_back_and_a_base_is_not_removed_under_its_adapters(config: Config) -> None:
    own = OwnModels(config.home)
    for card in (
        Card("ground", "chat", "x", "0" * 64, "model.gguf", 128, "mit"),
        Card("above", "adapter", "x", "1" * 64, "model.gguf", 128, "mit", base="ground"),
    ):
        with own.preparing(card.name) as work:
            own.write(card, work)
        assert own.get(card.name) == card
    with pytest.raises(NoriaError, match="local:above stands on local:ground"):
        own.remove("ground")
    own.remove("above")
    own.remove("ground")
    with pytest.raises(NotFound):
        own.get("ground")


def test_a_labelled_model_is_known_at_once_and_its_label_can_be_lowered(config: Config) -> None:
    own = OwnModels(config.home)
    catalogue = Catalogue(config)
    with own.preparing("secret") as work:
        card = Card("secret", "chat", "tune", "0" * 64, "m.gguf", 128, "mit", label="confidential")
        own.write(card, work)
    assert catalogue.resolve("local:secret").label is Label.CONFIDENTIAL
    own.relabel("secret", Label.PUBLIC, "somebody", "reviewed", 7)
    assert catalogue.resolve("local:secret").label is Label.PUBLIC
    assert own.get("secret").declassified[0]["from"] == "confidential"


def test_models_of_the_file_are_pinned(tmp_path: Path) -> None:
    (tmp_path / "noria.toml").write_text('[models_local.mine]\nsource = "x.gguf"\n')
    with pytest.raises(ConfigError, match=r"models_local\.mine\.sha256"):
        load(tmp_path / "noria.toml")
    path = write_gguf(tmp_path / "x.gguf", tokenizer__chat_template="{{ x }}")
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "noria.toml").write_text(
        f'[models_local.mine]\nsource = "{path}"\nsha256 = "{digest}"\ncontext = 99\n'
    )
    config = load(tmp_path / "noria.toml")
    models = LocalModels(config)
    assert models["mine"].context == 99
    weights = Weights(tmp_path / "cache", models)
    assert weights.pull("mine").read_bytes() == path.read_bytes()


@pytest.mark.engine
def test_an_adapter_of_another_base_is_refused(config: Config, tmp_path: Path) -> None:
    Weights().pull("smollm2")
    wide = write_adapter(tmp_path / "wide.gguf", "blk.0.attn_q.weight", 640)
    with pytest.raises(WeightsError, match="576"):
        add_model(config, "wide", str(wide), base="smollm2")
    deep = write_adapter(tmp_path / "deep.gguf", "blk.99.attn_q.weight", 576)
    with pytest.raises(WeightsError, match=r"no tensor blk\.99"):
        add_model(config, "deep", str(deep), base="smollm2")
    with pytest.raises(WeightsError, match="--base"):
        add_model(config, "deep", str(deep))
    assert nothing_is_registered(config)


def test_query_rows_are_interleaved_as_llama_cpp_wants_them() -> None:
    rows = np.arange(8.0).reshape(8, 1)  # two heads of four
    assert permute_rows(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
