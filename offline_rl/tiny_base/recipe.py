"""Pretrains the base model from nothing: corpus, tokenizer, weights, all from one seed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data_gen.types import DataError
from offline_rl.tiny_base.corpus import documents as documents_of
from offline_rl.tiny_base.tokenizer import train_tokenizer

DOCUMENTS = 34_000
CONTEXT_TOKENS = 1024
_BATCH = 48
_PIECE = 12
_MUON_LR = 0.021
_ADAMW_LR = 3e-3
_DECAY_SHARE = 0.5
_TOKENIZER_DOCUMENTS = 4000
_HELD_OUT_DOCUMENTS = 500


def build_tiny_base(
    folder: Path,
    *,
    seed: int = 0,
    documents: int = DOCUMENTS,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Writes weights, configuration and tokenizer into `folder`, the same bytes for a seed.

    One to two minutes on one thread, which is what it uses whatever the setting. `on_progress`
    gets the documents read and their total. Returns `documents`, `parameters`, and the mean
    negative log-likelihood per token, in nats, of documents never read: `held_out_nll`.
    Raises DataError for no documents.
    """
    if documents < 1:
        raise DataError(f"documents = {documents}: the base needs one or more to learn from")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokenizer = _tokenizer(seed)
            model = _untrained(tokenizer)
            corpus = documents_of("train", seed)
            _pretrain(model, tokenizer, corpus, documents, on_progress)
        _save(model, tokenizer, folder)
        nll = held_out_nll(model, tokenizer, seed)
    finally:
        torch.set_num_threads(threads)
    return {
        "documents": documents,
        "parameters": model.num_parameters(),
        "held_out_nll": nll,
    }


@torch.no_grad()
def held_out_nll(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int) -> float:
    """Nats per token over documents of the validation portion."""
    rows = _with_end(tokenizer, islice(documents_of("validation", seed), _HELD_OUT_DOCUMENTS))
    total = _summed_nll(model, _padded(rows, tokenizer.pad_token_id)).item()
    return total / sum(len(row) - 1 for row in rows)


def _tokenizer(seed: int) -> PreTrainedTokenizerFast:
    corpus = islice(documents_of("train", seed), _TOKENIZER_DOCUMENTS)
    return train_tokenizer((prompt + completion for prompt, completion in corpus), CONTEXT_TOKENS)


def _untrained(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    # Heads of 32: vLLM's CPU attention has no kernel for 16 or 24. No row of the vocabulary
    # without a token: it would never be trained, and be sampled now and then.
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def _with_end(
    tokenizer: PreTrainedTokenizerFast, documents: Iterable[tuple[str, str]]
) -> list[list[int]]:
    texts = [prompt + completion for prompt, completion in documents]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [[*tokens, tokenizer.eos_token_id] for tokens in encoded]


def _padded(rows: list[list[int]], pad: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])


def _summed_nll(model: LlamaForCausalLM, tokens: Tensor) -> Tensor:
    # Padding stands on the right and attention is causal: it needs no mask.
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    pad = model.config.pad_token_id
    targets = tokens[:, 1:].flatten()
    return cross_entropy(logits.flatten(0, 1), targets, ignore_index=pad, reduction="sum")


def _pretrain(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Iterator[tuple[str, str]],
    documents: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    optimizers = _optimizers(model)
    for read in range(0, documents, _BATCH):
        decay = min(1.0, (1 - read / documents) / _DECAY_SHARE)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * decay
        rows = _with_end(tokenizer, islice(corpus, min(_BATCH, documents - read)))
        _accumulate_gradients(model, rows)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if on_progress is not None:
            on_progress(read + len(rows), documents)


def _accumulate_gradients(model: LlamaForCausalLM, rows: list[list[int]]) -> None:
    """Those of the mean over the batch's tokens, from pieces of like length: little padding."""
    predicted = sum(len(row) - 1 for row in rows)
    rows = sorted(rows, key=len)
    for start in range(0, len(rows), _PIECE):
        tokens = _padded(rows[start : start + _PIECE], model.config.pad_token_id)
        torch.autograd.backward(_summed_nll(model, tokens) / predicted)


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(inner, lr=_MUON_LR, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=_ADAMW_LR, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
