"""Public problem sets by name: where they are kept, and what they are known to hold."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from data_gen.problems.arithmetic import SPLITS
from data_gen.types import Problem

BUILT_IN_COUNT = 1000
"""Problems of a split of the built-in task, unless a limit says otherwise."""


@dataclass(frozen=True)
class Preset:
    """A problem set known by name: `settings` of ProblemSource, the number of its `rows`, `texts`.

    `texts` maps `text_sha256` of a published form of the set to the number of its problems. The
    settings pin a revision where one is known to hold what is expected. `held_out` says that
    models are measured on it, not trained.
    """

    settings: Mapping[str, JsonValue]
    rows: int
    texts: Mapping[str, int] = field(default_factory=dict)
    held_out: bool = True

    def doubt(self, problems: Iterable[Problem]) -> str | None:
        """What speaks against a whole set being the published one; None where nothing does."""
        found = list(problems)
        expected = sorted({self.rows, *self.texts.values()})
        if len(found) not in expected:
            known = " or ".join(map(str, expected))
            return f"holds {len(found)} problems where {known} are known"
        if self.texts and text_sha256(found) not in self.texts:
            return "has as many problems as expected, but not the text that is known"
        return None


def text_sha256(problems: Iterable[Problem]) -> str:
    """A hash of prompts and gold answers, their order and white space aside."""
    rows = [[" ".join(p.prompt.split()), " ".join(p.answer.split())] for p in problems]
    return hashlib.sha256("\n".join(sorted(map(json.dumps, rows))).encode()).hexdigest()


def _hub(source: str, split: str, columns: str) -> dict[str, JsonValue]:
    """The settings of a data set of the hub; `columns` are those of _COLUMNS, - where unknown."""
    named: dict[str, JsonValue] = {
        k: v for k, v in zip(_COLUMNS, columns.split(), strict=True) if v != "-"
    }
    return {"source": source, "split": split, "columns": named}


_COLUMNS = ("prompt", "answer", "solution", "id")

# Hashes of texts are of the files that the Qwen2.5-Math evaluations use.
PRESETS: dict[str, Preset] = {
    "gsm8k": Preset(
        _hub("openai/gsm8k", "test", "question answer answer -")
        | {"config": "main", "answer_from": "after_hashes"},
        rows=1319,
        texts={"81254195a9ba58d840833efa83fc5f369f8e4d9be3c735ead411cba279d5d14f": 1319},
    ),
    "math500": Preset(
        _hub("HuggingFaceH4/MATH-500", "test", "problem answer solution unique_id")
        | {"revision": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"},
        rows=500,
        texts={"db657b4eb43f0ece2bce44a32e34b2d895de9d7b98587db1741f8a2880b847df": 500},
    ),
    "minerva": Preset(
        _hub("knoveleng/Minerva-Math", "train", "problem solution solution -")
        | {"answer_from": "last_box"},
        rows=272,
        texts={"989570fc21701de37f9e23752c9ce9a8d0e0a5595ec5b59347c326760941183b": 272},
    ),
    "olympiadbench": Preset(
        _hub("Hothan/OlympiadBench", "train", "question final_answer solution id")
        | {"config": "OE_TO_maths_en_COMP", "answer_from": "first", "strip_dollars": True},
        rows=674,
        texts={"50943d577be132a2d02d14a87a582debccd1fc3f54d859da9771a610e030a289": 675},
    ),
    "aime24": Preset(
        _hub("HuggingFaceH4/aime_2024", "train", "problem answer solution id")
        | {"revision": "2fe88a2f1091d5048c0f36abc874fb997b3dd99a"},
        rows=30,
        texts={"cc6616bfe26edd9cb93c6ea4b89d1b221c367c175ae0bc6881da10d4c304e003": 30},
    ),
    "aime25": Preset(
        _hub("math-ai/aime25", "test", "problem answer - id")
        | {"revision": "563bb8404243c5f09de6ec262f2db674fe5bce9b"},
        rows=30,
    ),
    "amc23": Preset(
        _hub("math-ai/amc23", "test", "question answer - id"),
        rows=40,
        texts={"3c8fe7344289768661b05a366a4f43c0bb2c30483f1cb957a6b006551a0b7de7": 40},
    ),
    **{
        f"arithmetic-{split}": Preset(
            {"source": "arithmetic", "split": split},
            rows=BUILT_IN_COUNT,
            held_out=split != "train",
        )
        for split in SPLITS
    },
    "numina_math_cot": Preset(
        _hub("AI-MO/NuminaMath-CoT", "train", "problem solution solution -")
        | {"answer_from": "last_box", "incomplete": "drop"},
        rows=859_494,
        held_out=False,
    ),
}
