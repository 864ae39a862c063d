"""Selected rollouts as the data-set formats of TRL, for its trainers to learn from directly."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Literal, get_args

from data_gen.prompts import Tokenizer
from data_gen.selection import Selection
from data_gen.store.atomic_files import replacing
from data_gen.store.table_files import Row
from data_gen.types import Completion, DataError, Rollout
from data_gen.views import Example, accepted, pairs, rejected

Format = Literal["prompt-completion", "preference", "unpaired-preference"]
FORMATS: tuple[Format, ...] = get_args(Format)

# Rows held as columns at a time.
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `retokenised` counts the rows that TRL cuts into other tokens than were
    sampled, or ends otherwise; None where no tokenizer could tell."""

    rows: int
    problems: int
    retokenised: int | None


def export_rollouts(
    rollouts: Sequence[Rollout],
    path: str | Path,
    format: Format,  # noqa: A002 (TRL's own word)
    *,
    selection: Selection | None = None,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
) -> Exported:
    """Writes `path` (.jsonl or .parquet) whole or not at all.

    "prompt-completion" holds the accepted rollouts; "preference" pairs of an accepted and a wrong
    one, as `selection.pairs` and `seed` say; "unpaired-preference" the accepted ones and the wrong
    ones with a label. Prompts are the rendered text, chat template included; TRL tokenises the text
    again and puts the tokenizer's end-of-sequence token after each completion. With the `tokenizer`
    of the model to be trained it is counted how often other ids than the sampled ones come out of
    that, and a first token that the tokenizer adds by itself is left out of the prompts that
    already have it, since TRL would double it.
    Raises DataError where nothing is selected, or for another kind of file.
    """
    path = Path(path)
    if path.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"{path}: data sets are exported as .jsonl or .parquet")
    chosen = selection or Selection()
    examples = _examples(rollouts, format, chosen, seed)
    if not examples:
        what = "both an accepted and a wrong" if format == "preference" else "an accepted"
        raise DataError(
            f"no problem has {what} rollout ({len(rollouts)} rollouts): nothing to export; sample"
            " more, or raise the temperature"
        )
    prompts = [_prompt(example[0].completion, tokenizer) for example in examples]
    rows = map(_ROW[format], examples, prompts, repeat(chosen))
    with replacing(path) as temporary:
        try:
            (_write_jsonl if path.suffix == ".jsonl" else _write_parquet)(rows, temporary)
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: a rollout holds half of a surrogate pair") from error
    return Exported(
        rows=len(examples),
        problems=len({example[0].problem.id for example in examples}),
        retokenised=None if tokenizer is None else _retokenised(examples, prompts, tokenizer),
    )


def _examples(
    rollouts: Sequence[Rollout], kind: Format, selection: Selection, seed: int
) -> Sequence[Example]:
    minimum, unique = selection.min_reward, selection.unique
    if kind == "preference":
        return pairs(
            rollouts, min_reward=minimum, unique=unique, seed=seed, **selection.pairs.model_dump()
        )
    kept = accepted(rollouts, min_reward=minimum, unique=unique)
    if kind == "unpaired-preference" and kept:
        kept += rejected(rollouts, min_reward=minimum, unique=unique)
    return [(rollout,) for rollout in kept]


def _prompt_completion(example: Example, prompt: str, selection: Selection) -> Row:
    return {"prompt": prompt, "completion": example[0].completion.text}


def _preference(example: Example, prompt: str, selection: Selection) -> Row:
    chosen, rejected = (rollout.completion.text for rollout in example)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _unpaired_preference(example: Example, prompt: str, selection: Selection) -> Row:
    label = example[0].reward >= selection.min_reward
    return {"prompt": prompt, "completion": example[0].completion.text, "label": label}


_ROW: Mapping[Format, Callable[[Example, str, Selection], Row]] = {
    "prompt-completion": _prompt_completion,
    "preference": _preference,
    "unpaired-preference": _unpaired_preference,
}


def _prompt(completion: Completion, tokenizer: Tokenizer | None) -> str:
    """The prompt's text, without a first token that the tokenizer would add once more."""
    prompt = completion.prompt
    if tokenizer is None:
        return prompt
    wanted = list(completion.prompt_tokens)
    first = tokenizer.decode(wanted[:1], skip_special_tokens=False)
    shorter = prompt.removeprefix(first)
    if shorter != prompt and tokenizer.encode(shorter, add_special_tokens=True) == wanted:
        return shorter
    return prompt


def _retokenised(examples: Sequence[Example], prompts: Sequence[str], tokenizer: Tokenizer) -> int:
    """How many examples come out of TRL's tokenising otherwise than they were sampled."""
    last = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    end = tokenizer.decode(last, skip_special_tokens=False)

    def sampled(completion: Completion, prompt: str) -> bool:
        text = completion.text if completion.text.endswith(end) else completion.text + end
        wanted = list(completion.prompt_tokens)
        return tokenizer.encode(prompt, add_special_tokens=True) == wanted and tokenizer.encode(
            prompt + text, add_special_tokens=True
        ) == wanted + list(completion.tokens)

    return sum(
        not all(sampled(rollout.completion, prompt) for rollout in example)
        for example, prompt in zip(examples, prompts, strict=True)
    )


def _write_jsonl(rows: Iterable[Row], path: Path) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n".encode())


def _write_parquet(rows: Iterable[Row], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    remaining = iter(rows)
    table = pa.Table.from_pylist(list(islice(remaining, _ROWS)))
    with pq.ParquetWriter(path, table.schema) as writer:
        while len(table):
            writer.write_table(table)
            table = pa.Table.from_pylist(list(islice(remaining, _ROWS)), schema=table.schema)
