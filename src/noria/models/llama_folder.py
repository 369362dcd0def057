"""A folder of safetensors, as transformers writes it, in the engine's format.

For models of the llama architecture (LlamaForCausalLM, MistralForCausalLM) with a byte-level BPE
tokenizer; others are converted with llama.cpp's own script and added as a GGUF file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import WeightsError
from noria.models.lora import PROJECTIONS, permute_rows
from noria.models.safetensors import Safetensors

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

__all__ = ["folder_to_gguf"]

_KNOWN = ("LlamaForCausalLM", "MistralForCausalLM")
_OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_ELSE = "Convert it with llama.cpp's convert_hf_to_gguf.py and add the GGUF file."


def folder_to_gguf(folder: Path, target: Path, converted: Callable[[int, int], None]) -> None:
    """Write a folder of safetensors as one GGUF file with 16-bit matrices.

    Raises:
        WeightsError: its architecture or tokenizer is not one that is converted here.
    """
    import numpy as np
    from gguf import GGUFWriter, LlamaFileType

    settings = _read(folder / "config.json")
    architecture = (settings.get("architectures") or ["none"])[0]
    if architecture not in _KNOWN or settings.get("attention_bias"):
        raise WeightsError(f"{folder} holds a {architecture}, which is not converted here.", _ELSE)
    tables = [Safetensors(path) for path in sorted(folder.glob("*.safetensors"))]
    names = [(name, table) for table in tables for name in table.names]
    if not names:
        raise WeightsError(f"{folder} holds no *.safetensors.")
    heads = int(settings["num_attention_heads"])
    grouped = int(settings.get("num_key_value_heads") or heads)
    width = int(settings["hidden_size"])
    rope = settings.get("rope_parameters") or {}
    writer = GGUFWriter(target, "llama")
    writer.add_name(folder.name)
    writer.add_context_length(int(settings["max_position_embeddings"]))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(int(settings["intermediate_size"]))
    writer.add_block_count(int(settings["num_hidden_layers"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(grouped)
    writer.add_layer_norm_rms_eps(float(settings["rms_norm_eps"]))
    writer.add_rope_freq_base(float(settings.get("rope_theta") or rope.get("rope_theta", 10000.0)))
    writer.add_rope_dimension_count(int(settings.get("head_dim") or width // heads))
    writer.add_vocab_size(int(settings["vocab_size"]))
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer, folder, int(settings["vocab_size"]))
    for number, (name, table) in enumerate(names, 1):
        data: np.ndarray[Any, Any] = table.read(name)
        stem = _engine_name(name)
        if stem is None:
            raise WeightsError(f"{folder} holds {name}, which the engine has no place for.", _ELSE)
        if ".attn_q." in stem or ".attn_k." in stem:
            data = permute_rows(data, heads if ".attn_q." in stem else grouped)
        kind = np.float16 if data.ndim > 1 else np.float32
        writer.add_tensor(stem, np.ascontiguousarray(data.astype(kind)))
        converted(number, len(names))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _engine_name(name: str) -> str | None:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    if found is None:
        return None
    stem = PROJECTIONS.get(found[2]) or _NORMS.get(found[2])
    return f"blk.{found[1]}.{stem}.weight" if stem else None


def _add_tokenizer(writer: GGUFWriter, folder: Path, size: int) -> None:
    from gguf import TokenType

    table = _read(folder / "tokenizer.json")
    said = _read(folder / "tokenizer_config.json")
    model = table["model"]
    if model.get("type") != "BPE" or "ByteLevel" not in json.dumps(table.get("pre_tokenizer")):
        raise WeightsError(f"{folder} has a tokenizer that is no byte-level BPE.", _ELSE)
    ids: dict[int, str] = {number: token for token, number in model["vocab"].items()}
    control = set()
    for added in table.get("added_tokens", ()):
        ids[added["id"]] = added["content"]
        if added.get("special"):
            control.add(added["id"])
    tokens = [ids.get(number, f"[unused{number}]") for number in range(size)]
    kinds = [
        TokenType.CONTROL
        if number in control
        else TokenType.NORMAL
        if number in ids
        else TokenType.UNUSED
        for number in range(size)
    ]
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_add_bos_token(bool(said.get("add_bos_token", False)))
    numbers = {token: number for number, token in ids.items()}
    for role, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("pad_token", writer.add_pad_token_id),
        ("unk_token", writer.add_unk_token_id),
    ):
        token = said.get(role)
        token = token.get("content") if isinstance(token, dict) else token
        if token in numbers:
            add(numbers[token])
    template = folder / "chat_template.jinja"
    text = template.read_text(encoding="utf-8") if template.exists() else said.get("chat_template")
    if text:
        writer.add_chat_template(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise WeightsError(f"{path} cannot be read: {problem}.", _ELSE) from None
    if not isinstance(table, dict):
        raise WeightsError(f"{path} holds no JSON object.", _ELSE)
    return table
