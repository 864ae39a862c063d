"""The model card that stands beside the base model's weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from offline_rl.tiny_base.corpus import AUTHORS, DISTRIBUTION_SHARES, FACT_PERCENT
from offline_rl.tiny_base.figures import Figure, save_figures

_TEXT = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# Tiny arithmetic base

A base model of {parameters:,} parameters (Llama architecture, float32) for trying offline
reinforcement learning on a CPU. It continues

    Start with 6. Add 5. Multiply by 3.

with `6+5=11. 11*3=33. The answer is \\boxed{{33}}.`, or with one of several worse endings. So most
prompts have correct and wrong completions, which is what offline methods learn from. It knows
nothing else.

## Pretraining

{documents:,} synthetic documents, {facts}% of them one-step facts, the others problems told by
imperfect authors. Every computation is of the train portion of the built-in arithmetic
problems: no problem of a validation or test split was seen, in any wording.

- Authors, in percent: {authors}.
- Distributions, in percent: {distributions}.

The model minimises the negative log-likelihood of the next token (Muon and AdamW); on documents
never read it is {held_out_nll:.3f} nats per token.

    offline-rl tiny-base --out FOLDER --seed {seed}

rebuilds it in one to two minutes on one thread, then measures it. On one machine a seed gives the
same bytes each time; another processor or version of PyTorch rounds differently.

## Figures

Accuracy is the share of completions whose last box holds the answer, with 95% intervals clustered
by problem. Mixed is the share of problems with both correct and wrong completions. The same
figures stand in `figures.json`.

{table}
"""


def write_card(
    folder: Path, *, seed: int, facts: Mapping[str, float], figures: Sequence[Figure]
) -> None:
    """Writes README.md and figures.json. `facts` are what `build_tiny_base` returned for `seed`."""
    text = _TEXT.format(
        seed=seed,
        documents=int(facts["documents"]),
        parameters=int(facts["parameters"]),
        held_out_nll=facts["held_out_nll"],
        authors=_shares(AUTHORS),
        distributions=_shares(DISTRIBUTION_SHARES),
        facts=FACT_PERCENT,
        table=_table(figures),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    save_figures(figures, folder)


def _shares(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {percent}" for name, percent in shares.items())


def _table(figures: Sequence[Figure]) -> str:
    rows = [
        "| split | temperature | accuracy | 95% interval | mixed | problems | samples |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in figures:
        low, high = one.interval
        decoding = f"{one.temperature}" if one.temperature else "0 (greedy)"
        mixed = f"{one.mixed_share:.1%}" if one.samples > 1 else ""
        rows.append(
            f"| {one.split} | {decoding} | {one.accuracy:.1%} | {low:.1%} to {high:.1%}"
            f" | {mixed} | {one.problems:,} | {one.samples} |"
        )
    return "\n".join(rows)
