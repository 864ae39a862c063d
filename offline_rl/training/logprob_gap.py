"""How far the trainer's log-probabilities of sampled tokens lie from the sampler's own."""

import heapq
import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers.utils import logging as transformers_logging

from data_gen.model_ref import ModelRef
from data_gen.types import Rollout
from losses import token_logps
from offline_rl.artifacts.records import LogprobGap
from offline_rl.batch import Row, collate, microbatches, tokenize
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.model import load_policy

# A ratio of probabilities is off when it differs from 1 by more than this.
_RATIO_TOLERANCE = 0.1
# Logits of the whole vocabulary are made for these many padded tokens at once.
_TOKENS_AT_ONCE = 2048


def drawn(rollouts: Iterable[Rollout], count: int) -> list[Rollout]:
    """`count` rollouts with known log-probabilities, drawn by their ids alone; all if fewer."""
    known = (rollout for rollout in rollouts if rollout.completion.logps)
    return heapq.nsmallest(count, known, key=_ticket)


def behaviour_gap(
    rollouts: Sequence[Rollout], *, model: ModelRef, training: TrainingSettings
) -> LogprobGap:
    """Scores `rollouts` with the model as it is trained.

    The difference is trainer less sampler, in nats, over all their tokens. A token counts as off
    where the ratio of the two probabilities differs from 1 by more than 0.1. Another engine and
    another precision make small gaps; large ones mean another model, template or temperature, and
    that importance ratios taken from the sampler would be wrong.
    """
    torch.set_num_threads(training.threads)
    transformers_logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    policy = load_policy(model, training.model_copy(update={"lora": None})).to(device)
    policy.eval()
    examples = [tokenize((rollout,)) for rollout in rollouts]
    sampled = {
        row.rollout_id: rollout.completion.logps
        for (row,), rollout in zip(examples, rollouts, strict=True)
    }
    differences = []
    for piece in microbatches(examples, _TOKENS_AT_ONCE):
        batch = collate(piece, device)
        with (
            torch.no_grad(),
            torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bfloat16"),
        ):
            logits = policy(
                input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
            ).logits
        logps = token_logps(logits[:, :-1].float(), batch.tokens[:, 1:]).cpu()
        rows = (row for example in piece for row in example)
        differences += [
            _completion(row, values) - torch.tensor(sampled[row.rollout_id])
            for row, values in zip(rows, logps, strict=True)
        ]
    return _figures(differences)


def _ticket(rollout: Rollout) -> float:
    name = f"{rollout.problem.id}/{rollout.completion.sample}"
    return random.Random(name).random()


def _completion(row: Row, logps: Tensor) -> Tensor:
    return logps[row.prompt_length - 1 : len(row.tokens) - 1]


def _figures(differences: Sequence[Tensor]) -> LogprobGap:
    if not differences:
        return LogprobGap(rollouts=0, tokens=0)
    every = torch.cat(list(differences)).double()
    off = ((every.exp() - 1).abs() > _RATIO_TOLERANCE).double().mean().item()
    return LogprobGap(
        rollouts=len(differences),
        tokens=len(every),
        mean_difference_nats=every.mean().item(),
        mean_absolute_difference_nats=every.abs().mean().item(),
        largest_absolute_difference_nats=every.abs().max().item(),
        share_of_tokens_with_ratio_off_by_a_tenth=off,
    )
