"""The model under training: loaded from the engine's file, with adapters, and its losses."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError
from noria.models.lora import PROJECTIONS
from noria.tuning.encoding import Encoded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from noria.tuning.settings import TuneSettings

__all__ = ["Network", "load_network"]


class Network:
    """A causal language model, the tokenizer that goes with it, and what of it is trained."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, adapted: bool) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.adapted = adapted
        """Whether adapters are trained; otherwise all weights are."""
        causal = model.get_base_model() if adapted else model
        self._body, self._head = causal.model, causal.lm_head

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name."""
        return {
            name: weight for name, weight in self.model.named_parameters() if weight.requires_grad
        }

    def loss(self, row: Encoded) -> tuple[torch.Tensor, int]:
        """The sum of the losses of a row's learned tokens, and how many there are."""
        import torch

        chosen, sought = self._learned(row)
        logits = self._logits(row, chosen)
        total = torch.nn.functional.cross_entropy(logits, sought, reduction="sum")
        return total, len(sought)

    def log_likelihood(self, row: Encoded) -> torch.Tensor:
        """The log-likelihood of a row's learned tokens."""
        return -self.loss(row)[0]

    def logits(self, row: Encoded) -> torch.Tensor:
        """The logits at every position of a row, as (tokens, vocabulary)."""
        import torch

        return self._logits(row, torch.arange(len(row.tokens), device=self._head.weight.device))

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Without the adapters."""
        if not self.adapted:
            raise NoriaError("The base is gone: all weights were trained.", "Use --method lora.")
        with self.model.disable_adapter():
            yield

    def answer(self, messages: Sequence[dict[str, Any]], limit: int = 32) -> str:
        """The likeliest answer to a conversation."""
        import torch

        from noria.tuning.encoding import messages_of, render

        text = render(self.tokenizer, messages_of(messages), ask=True)
        prompt = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        prompt = prompt.to(self._head.weight.device)
        with torch.no_grad():
            made = self.model.generate(
                **prompt, max_new_tokens=limit, do_sample=False, use_cache=True
            )
        said = made[0][prompt["input_ids"].shape[1] :]
        return str(self.tokenizer.decode(said, skip_special_tokens=True)).strip()

    def _learned(self, row: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions whose next token is learned, and those tokens."""
        import torch

        device = self._head.weight.device
        at = [
            number
            for number in range(len(row.tokens) - 1)
            if row.learned[number + 1] and row.segments[number + 1] == row.segments[number]
        ]
        sought = [row.tokens[number + 1] for number in at]
        return torch.tensor(at, device=device), torch.tensor(sought, device=device)

    def _logits(self, row: Encoded, chosen: torch.Tensor) -> torch.Tensor:
        """The output matrix is a fifth of a small model's work: only where it is asked for."""
        import torch

        device = self._head.weight.device
        hidden = self._body(
            input_ids=torch.tensor([row.tokens], device=device),
            position_ids=torch.tensor([row.positions], device=device),
            attention_mask=_apart(row.segments, device),
            use_cache=False,
        ).last_hidden_state[0]
        logits: torch.Tensor = self._head(hidden[chosen]).float()
        return logits


def load_network(base: Path, settings: TuneSettings) -> Network:
    """Load a GGUF model for training: dequantised, with adapters unless all weights are trained.

    Raises:
        NoriaError: transformers cannot read the architecture, or there is no GPU for `qlora`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.method == "qlora" and device == "cpu":
        raise NoriaError(
            "qlora needs a GPU: bitsandbytes has no 4-bit matrices for a processor.",
            "Use --method lora; `noria tune run --plan` says what fits this machine.",
        )
    try:
        with _read_once():
            tokenizer = AutoTokenizer.from_pretrained(base.parent, gguf_file=base.name)
            model = AutoModelForCausalLM.from_pretrained(
                base.parent, gguf_file=base.name, dtype=_number_type(device)
            )
    except (ValueError, KeyError, NotImplementedError) as problem:
        raise NoriaError(f"transformers cannot read {base.name} for training: {problem}") from None
    # Otherwise the library takes the model for one that cannot be trained or saved.
    for name in ("hf_quantizer", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if settings.method == "qlora":
        _to_four_bits(model)
    model.config._name_or_path = model.name_or_path = settings.base  # not a path of this machine
    model = model.to(device)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if settings.method == "full":
        return Network(model, tokenizer, adapted=False)
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(settings.seed)
    adapted = get_peft_model(
        model,
        LoraConfig(
            r=settings.rank,
            lora_alpha=2 * settings.rank,
            target_modules=[name.partition(".")[2] for name in PROJECTIONS],
            task_type="CAUSAL_LM",
        ),
        autocast_adapter_dtype=True,
    )
    return Network(adapted, tokenizer, adapted=True)


def _number_type(device: str) -> torch.dtype:
    """16 bits for frozen weights where the machine computes with them, else 32: without the
    instructions a matrix product in bfloat16 is over ten times slower."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    has_instructions = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if has_instructions else torch.float32


def _apart(segments: Sequence[int], device: torch.device) -> torch.Tensor | None:
    """Which token may look at which: at those before it, of its own conversation or of the shared
    beginning. None where there is one conversation: the plain causal mask is faster."""
    import torch

    if segments[0] == segments[-1]:
        return None
    number = torch.tensor(segments, device=device)
    allowed = (number[:, None] == number[None, :]) | (number == 0)[None, :]
    return allowed.tril()[None, None]


@contextmanager
def _read_once() -> Iterator[None]:
    """Let transformers take one reader for the configuration, the tokenizer and the weights: the
    library needs seconds to read a vocabulary, and transformers has it read three times."""
    import gguf

    original = gguf.GGUFReader
    known: dict[str, Any] = {}

    def once(path: Any, *arguments: Any) -> Any:
        if str(path) not in known:
            known[str(path)] = original(path, *arguments)
        return known[str(path)]

    vars(gguf)["GGUFReader"] = once
    try:
        yield
    finally:
        vars(gguf)["GGUFReader"] = original


def _to_four_bits(model: Any) -> None:
    """Replace the projections by 4-bit ones (NF4, double quantised)."""
    try:
        import bitsandbytes as bnb
    except ImportError:
        raise NoriaError("qlora needs bitsandbytes.", "pip install bitsandbytes") from None
    import torch

    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or not name.endswith(tuple(PROJECTIONS)):
            continue
        small = bnb.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=module.weight.dtype,
            compress_statistics=True,
            quant_type="nf4",
        )
        small.weight = bnb.nn.Params4bit(
            module.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
        )
        if module.bias is not None:
            small.bias = module.bias
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, small)
