"""A base of two small layers that transformers and the engine both load, in a home of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter, TokenType

from noria.config import Config
from noria.models.adding import add_model

TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WIDTH, INNER, LAYERS, HEADS, KV_HEADS = 64, 128, 2, 4, 2
TORCH = 'the extra `tune` is absent: pip install torch==2.13.0 && pip install -e ".[tune]"'


def byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes, in the order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = [], 0
    for byte in range(256):
        if byte in plain:
            letters.append(chr(byte))
        else:
            letters.append(chr(256 + extra))
            extra += 1
    return letters


def write_base(path: Path, seed: int = 0) -> Path:
    """Write a random llama of two layers, with a vocabulary of bytes."""
    random = np.random.default_rng(seed)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*specials, *byte_letters(), "ab"]
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_license("mit")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    kinds = [TokenType.CONTROL] * len(specials) + [TokenType.NORMAL] * 257
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray[Any, Any]:
        spread = scale / columns**0.5
        return random.normal(0, spread, (rows, columns)).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    writer.add_tensor("token_embd.weight", matrix(len(tokens), WIDTH, 4.0))
    kv = WIDTH // HEADS * KV_HEADS
    for layer in range(LAYERS):
        stem = f"blk.{layer}"
        writer.add_tensor(f"{stem}.attn_norm.weight", ones)
        writer.add_tensor(f"{stem}.ffn_norm.weight", ones)
        writer.add_tensor(f"{stem}.attn_q.weight", matrix(WIDTH, WIDTH, 2.0))
        writer.add_tensor(f"{stem}.attn_k.weight", matrix(kv, WIDTH, 2.0))
        writer.add_tensor(f"{stem}.attn_v.weight", matrix(kv, WIDTH))
        writer.add_tensor(f"{stem}.attn_output.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(f"{stem}.ffn_gate.weight", matrix(INNER, WIDTH))
        writer.add_tensor(f"{stem}.ffn_up.weight", matrix(INNER, WIDTH))
        writer.add_tensor(f"{stem}.ffn_down.weight", matrix(WIDTH, INNER))
    writer.add_tensor("output_norm.weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def colour_rows(count: int = 24) -> list[dict[str, Any]]:
    """Questions whose answer is always the same word."""
    words = ["alder", "birch", "cedar", "dogwood", "elm", "fir", "gorse", "hazel", "ivy", "juniper"]
    return [
        {
            "id": f"row-{number}",
            "messages": [
                {
                    "role": "user",
                    "content": f"{words[number % 10]} {words[number * 7 % 9]} {number}?",
                },
                {"role": "assistant", "content": "blue"},
            ],
            "source": f"file:{number}",
            "label": "public",
        }
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "tiny.gguf")


@pytest.fixture
def config(tmp_path: Path, base: Path) -> Config:
    """A home that has the base as `local:tiny`."""
    config = Config(home=tmp_path / "home")
    add_model(config, "tiny", str(base))
    return config
