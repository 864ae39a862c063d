"""Our trainer against TRL's: real tokens a second of SFT, and the time of DPO from end to end.

Both sides train copies of one random Qwen2-shaped model on the same rows of very different lengths,
in the same optimiser batches and with room for equally many padded tokens at once; they take turns
in one process. Seconds are the process's own on the CPU, of one thread, so that what else the
machine does matters little. The last figure is how far the weights of the two sides come to lie
apart, as a share of how far they moved. Run: `python tests/benchmarks/training.py`.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from offline_rl.batches import Row
from offline_rl.methods import METHODS
from offline_rl.tiny_base import TINY_BASE
from offline_rl.trainer import OfflineTrainer

VOCABULARY = 20_000
LONGEST = 512
SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "logging_steps": 10,
    "max_length": None,
    "seed": 0,
}
EQUAL = {"bf16": False, "gradient_checkpointing": False}


@dataclass(frozen=True)
class Size:
    """Rows of a set, of an optimiser step, and of a micro-batch of TRL's."""

    rows: int
    step: int
    micro: int


Run = tuple[float, dict[str, Tensor]]
Side = Callable[[list[Any], Size], Run]


def random_model() -> Any:
    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=LONGEST,
            tie_word_embeddings=True,
            pad_token_id=0,
        )
    )


def skewed(count: int, longest: int) -> Iterator[list[int]]:
    """Log-normal lengths: most completions are short, and few are as long as may be."""
    chance = random.Random(0)
    for _ in range(count):
        length = min(longest, max(8, round(chance.lognormvariate(4.0, 1.0))))
        yield [chance.randrange(2, VOCABULARY) for _ in range(length)]


def singles(count: int) -> list[tuple[Row]]:
    prompt = list(range(2, 18))
    every = enumerate(skewed(count, LONGEST - 16))
    return [(Row(f"p{i}#0", prompt + tokens, 16),) for i, tokens in every]


def pairs(count: int) -> list[tuple[Row, Row]]:
    prompt = list(range(2, 18))
    every = list(skewed(2 * count, LONGEST - 16))
    return [
        (
            Row(f"p{i}#0", prompt + chosen, 16),
            Row(f"p{i}#1", prompt + rejected, 16, accepted=False),
        )
        for i, (chosen, rejected) in enumerate(zip(every[::2], every[1::2], strict=True))
    ]


def measured(trainer: Any, before: Callable[[], None] = lambda: None) -> Run:
    start = time.process_time()
    before()
    trainer.train()
    seconds = time.process_time() - start
    return seconds, {n: p.detach().clone() for n, p in trainer.model.named_parameters()}


def parts() -> dict[str, Any]:
    return {"model": random_model(), "processing_class": AutoTokenizer.from_pretrained(TINY_BASE)}


def ours(kind: str, examples: list[Any], size: Size, *, packing: bool = True) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        trainer = OfflineTrainer(
            method=METHODS[kind](),
            examples=examples,
            tokens_per_microbatch=size.micro * len(examples[0]) * LONGEST,
            packing=packing,
            args=SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=size.step,
                remove_unused_columns=False,
                dataset_kwargs={"skip_prepare_dataset": True},
                **SETTINGS,
                **EQUAL,
            ),
            **parts(),
        )
        needed = METHODS[kind].needs_reference
        return measured(trainer, trainer.add_reference if needed else lambda: None)


def trl_sft(examples: list[Any], size: Size, **settings: Any) -> Run:
    rows = [row for (row,) in examples]
    labels = [[-100] * row.prompt_length + row.tokens[row.prompt_length :] for row in rows]
    table = Dataset.from_dict({"input_ids": [row.tokens for row in rows], "labels": labels})
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(output_dir=folder, **_cut(size), **SETTINGS, **settings)
        return measured(SFTTrainer(args=arguments, train_dataset=table, **parts()))


class TokenisedDpo(DPOTrainer):
    """Takes token ids, which the library's makes from text and then reads alike."""

    def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
        return dataset


def trl_dpo(examples: list[Any], size: Size, **settings: Any) -> Run:
    columns = {
        "prompt_ids": [chosen.tokens[: chosen.prompt_length] for chosen, _ in examples],
        "chosen_ids": [chosen.tokens[chosen.prompt_length :] for chosen, _ in examples],
        "rejected_ids": [other.tokens[other.prompt_length :] for _, other in examples],
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(output_dir=folder, **_cut(size), **SETTINGS, **settings)
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
    runs: dict[str, list[Run]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            runs[side].append(run(examples, size))
    tokens = sum(len(row.tokens) for example in examples for row in example)
    start = dict(random_model().named_parameters())
    own, own_weights = statistics.median(s for s, _ in runs["ours"]), runs["ours"][0][1]
    moved = max((own_weights[n] - start[n]).abs().max().item() for n in start)
    print(f"\n{name}: {tokens} real tokens, {rounds} rounds, {len(examples)} examples")
    print(f"{'trainer':<24}{'seconds':>9}{'tokens/s':>10}{'ours is':>10}{'weights apart':>15}")
    for side, every in runs.items():
        median = statistics.median(seconds for seconds, _ in every)
        apart = max((own_weights[n] - every[0][1][n]).abs().max().item() for n in start)
        speed = f"{median / own:.2f}x"
        print(f"{side:<24}{median:>9.2f}{tokens / median:>10.0f}{speed:>10}{apart / moved:>15.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--sft", type=int, nargs=3, default=(128, 32, 8), metavar=("ROWS", "STEP", "MICRO")
    )
    parser.add_argument(
        "--dpo", type=int, nargs=3, default=(48, 16, 4), metavar=("PAIRS", "STEP", "MICRO")
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    sft, dpo = Size(*options.sft), Size(*options.dpo)
    compare(
        "SFT",
        singles(sft.rows),
        sft,
        {
            "ours": lambda rows, size: ours("rft", rows, size),
            "ours, padded": lambda rows, size: ours("rft", rows, size, packing=False),
            "TRL, equal settings": lambda rows, size: trl_sft(rows, size, **EQUAL),
            "TRL, its own defaults": trl_sft,
        },
        options.rounds,
    )
    compare(
        "DPO with reference",
        pairs(dpo.rows),
        dpo,
        {
            "ours": lambda rows, size: ours("dpo", rows, size),
            "ours, padded": lambda rows, size: ours("dpo", rows, size, packing=False),
            "TRL, equal settings": lambda rows, size: trl_dpo(rows, size, **EQUAL),
            "TRL, its own defaults": trl_dpo,
        },
        options.rounds,
    )


if __name__ == "__main__":
    main()
