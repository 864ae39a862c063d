"""Our trainer against TRL's: real tokens a second of SFT, and the time of DPO from end to end.

Both sides train copies of one random Qwen2-shaped model on the same rows of very different lengths,
in the same optimiser batches and with room for equally many padded tokens at once; they take turns
in one process. On a CPU, seconds are the process's own, of one thread, so that what else the
machine does matters little; on a GPU they are those of its clock, in bfloat16. TFLOP/s counts 6
operations for each weight and real token. The last figure is how far the weights of the two sides
come to lie apart (the first thousand of every tensor), as a share of how far they moved.
Run: `python tests/benchmarks/training.py`, or with `--size 0.5b` or `1.5b` on a GPU.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from offline_rl.batch import Row
from offline_rl.methods.registry import METHODS
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.trainer import OfflineTrainer

EQUAL = {"gradient_checkpointing": False}


@dataclass(frozen=True)
class Scale:
    """A model's shape, and the lengths of its rows: log-normal, up to `longest` tokens."""

    device: str
    vocabulary: int
    longest: int
    lengths: tuple[float, float]
    shape: dict[str, int]

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "learning_rate": 1e-4,
            "lr_scheduler_type": "constant",
            "num_train_epochs": 1,
            "use_cpu": self.device == "cpu",
            "bf16": self.device != "cpu",
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_steps": 10,
            "max_length": None,
            "seed": 0,
        }


def _shape(hidden: int, inner: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
    }


SCALES = {
    "tiny": Scale("cpu", 20_000, 512, (4.0, 1.0), _shape(256, 704, 4, 4)),
    "0.5b": Scale("cuda", 151_936, 2048, (5.8, 0.7), _shape(896, 4864, 24, 14)),
    "1.5b": Scale("cuda", 151_936, 2048, (5.8, 0.7), _shape(1536, 8960, 28, 12)),
}
scale = SCALES["tiny"]


@dataclass(frozen=True)
class Size:
    """Rows of a set, of an optimiser step, and of a micro-batch of TRL's."""

    rows: int
    step: int
    micro: int


@dataclass(frozen=True)
class Run:
    seconds: float
    weights: dict[str, Tensor]
    gib: float


Side = Callable[[list[Any], Size], Run]


def random_model() -> Any:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=scale.vocabulary,
        max_position_embeddings=scale.longest,
        tie_word_embeddings=True,
        pad_token_id=0,
        **scale.shape,
    )
    with torch.device(scale.device):
        return Qwen2ForCausalLM(config)


def skewed(count: int) -> Iterator[list[int]]:
    """Most completions are short, and few are as long as may be."""
    chance = random.Random(0)
    for _ in range(count):
        length = round(chance.lognormvariate(*scale.lengths))
        length = min(scale.longest - 16, max(8, length))
        yield [chance.randrange(2, scale.vocabulary) for _ in range(length)]


def singles(count: int) -> list[tuple[Row]]:
    prompt = list(range(2, 18))
    every = enumerate(skewed(count))
    return [(Row(f"p{i}#0", array("i", prompt + tokens), 16),) for i, tokens in every]


def pairs(count: int) -> list[tuple[Row, Row]]:
    prompt = list(range(2, 18))
    every = list(skewed(2 * count))
    return [
        (
            Row(f"p{i}#0", array("i", prompt + chosen), 16),
            Row(f"p{i}#1", array("i", prompt + rejected), 16, accepted=False),
        )
        for i, (chosen, rejected) in enumerate(zip(every[::2], every[1::2], strict=True))
    ]


def measured(trainer: Any, before: Callable[[], None] = lambda: None) -> Run:
    if scale.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = _clock()
    before()
    trainer.train()
    seconds = _clock() - start
    gib = torch.cuda.max_memory_allocated() / 2**30 if scale.device == "cuda" else 0.0
    return Run(seconds, _some(trainer.model), gib)


def _some(model: Any) -> dict[str, Tensor]:
    every = model.named_parameters()
    return {n: p.detach().flatten()[:1000].float().cpu() for n, p in every}


def _clock() -> float:
    if scale.device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def parts() -> dict[str, Any]:
    return {"model": random_model(), "processing_class": AutoTokenizer.from_pretrained(TINY_BASE)}


def ours(
    kind: str,
    examples: list[Any],
    size: Size,
    *,
    packing: bool = True,
    attention: str = "sdpa",
    head: Any = "auto",
) -> Run:
    given = parts()
    given["model"].set_attn_implementation(attention)
    with tempfile.TemporaryDirectory() as folder:
        trainer = OfflineTrainer(
            method=METHODS[kind](),
            examples=examples,
            tokens_per_microbatch=size.micro * len(examples[0]) * scale.longest,
            packing=packing,
            head=head,
            args=SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=size.step,
                remove_unused_columns=False,
                dataset_kwargs={"skip_prepare_dataset": True},
                **scale.settings,
                **EQUAL,
            ),
            **given,
        )
        needed = METHODS[kind]().requires.reference
        return measured(trainer, trainer.add_reference if needed else lambda: None)


def trl_sft(examples: list[Any], size: Size, **settings: Any) -> Run:
    rows = [row for (row,) in examples]
    labels = [[-100] * row.prompt_length + list(row.tokens[row.prompt_length :]) for row in rows]
    table = Dataset.from_dict({"input_ids": [list(row.tokens) for row in rows], "labels": labels})
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(output_dir=folder, **_cut(size), **scale.settings, **settings)
        return measured(SFTTrainer(args=arguments, train_dataset=table, **parts()))


class TokenisedDpo(DPOTrainer):
    """Takes token ids, which the library's makes from text and then reads alike."""

    def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
        return dataset


def trl_dpo(examples: list[Any], size: Size, **settings: Any) -> Run:
    columns = {
        "prompt_ids": [list(chosen.tokens[: chosen.prompt_length]) for chosen, _ in examples],
        "chosen_ids": [list(chosen.tokens[chosen.prompt_length :]) for chosen, _ in examples],
        "rejected_ids": [list(other.tokens[other.prompt_length :]) for _, other in examples],
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(output_dir=folder, **_cut(size), **scale.settings, **settings)
        table = Dataset.from_dict(columns)
        given = {**parts(), "ref_model": random_model()}
        return measured(TokenisedDpo(args=arguments, train_dataset=table, **given))


def _cut(size: Size) -> dict[str, int]:
    return {
        "per_device_train_batch_size": size.micro,
        "gradient_accumulation_steps": size.step // size.micro,
    }


def compare(
    name: str, examples: list[Any], size: Size, sides: dict[str, Side], rounds: int
) -> None:
    """Medians of all sides, as ratios to the first, which is ours."""
    if scale.device == "cuda":  # kernels are compiled and loaded by whoever comes first
        for run in sides.values():
            run(examples[: size.step], size)
    runs: dict[str, list[Run]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            runs[side].append(run(examples, size))
    tokens = sum(len(row.tokens) for example in examples for row in example)
    model = random_model()
    count, start = sum(p.numel() for p in model.parameters()), _some(model)
    first = next(iter(runs.values()))
    own, own_weights = statistics.median(run.seconds for run in first), first[0].weights
    moved = max((own_weights[n] - start[n]).abs().max().item() for n in start)
    print(f"\n{name}: {tokens} real tokens, {rounds} rounds, {len(examples)} examples,", end=" ")
    print(f"{count / 1e6:.1f}M weights, {scale.device}")
    head = ("seconds", "tokens/s", "TFLOP/s", "peak GiB", "first is", "weights apart")
    print(f"{'trainer':<24}" + "".join(f"{text:>{len(text) + 3}}" for text in head))
    for side, every in runs.items():
        median = statistics.median(run.seconds for run in every)
        weights = every[0].weights
        apart = max((own_weights[n] - weights[n]).abs().max().item() for n in start)
        cells = (
            f"{median:.2f}",
            f"{tokens / median:.0f}",
            f"{6 * count * tokens / median / 1e12:.2f}",
            f"{max(run.gib for run in every):.1f}",
            f"{median / own:.2f}x",
            f"{apart / moved:.4f}",
        )
        row = zip(cells, head, strict=True)
        print(f"{side:<24}" + "".join(f"{cell:>{len(text) + 3}}" for cell, text in row))


def _ours(kind: str) -> dict[str, Side]:
    """Ours as it comes, and on a GPU the other ways to give attention and head."""
    ways: dict[str, dict[str, Any]] = {"ours": {}, "ours, padded": {"packing": False}}
    if scale.device == "cuda":
        ways = {
            "ours, varlen": {"attention": "varlen"},
            "ours, varlen, chunked": {"attention": "varlen", "head": "chunked"},
            "ours, masked rows": {},
            "ours, padded": {"packing": False},
        }
    return {name: partial(ours, kind, **way) for name, way in ways.items()}


def main() -> None:
    global scale
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=SCALES, default="tiny")
    parser.add_argument("--only", nargs="*", help="these sides alone, by their names")
    parser.add_argument("--sft", type=int, nargs=3, metavar=("ROWS", "STEP", "MICRO"))
    parser.add_argument("--dpo", type=int, nargs=3, metavar=("PAIRS", "STEP", "MICRO"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    scale = SCALES[options.size]
    large = scale.device == "cuda"
    sft = Size(*(options.sft or ((512, 128, 8) if large else (128, 32, 8))))
    dpo = Size(*(options.dpo or ((192, 64, 4) if large else (48, 16, 4))))
    kinds = (
        ("SFT", "rft", trl_sft, singles, sft),
        ("DPO with reference", "dpo", trl_dpo, pairs, dpo),
    )
    for name, kind, trl, examples, size in kinds:
        sides: dict[str, Side] = {
            **_ours(kind),
            "TRL, equal settings": partial(trl, **EQUAL),
            "TRL, its own defaults": trl,
        }
        chosen = {side: run for side, run in sides.items() if side in (options.only or sides)}
        if size.rows:
            compare(name, examples(size.rows), size, chosen, options.rounds)


if __name__ == "__main__":
    main()
