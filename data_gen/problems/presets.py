"""Public problem sets by name: where they are kept, and what they are known to hold."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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

    settings: Mapping[str, Any]
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


# Hashes of texts are of the files that the Qwen2.5-Math evaluations use.
PRESETS: dict[str, Preset] = {
    "gsm8k": Preset(
        {
            "source": "openai/gsm8k",
            "config": "main",
            "split": "test",
            "columns": {"prompt": "question", "answer": "answer", "solution": "answer"},
            "answer_from": "after_hashes",
        },
        rows=1319,
        texts={"81254195a9ba58d840833efa83fc5f369f8e4d9be3c735ead411cba279d5d14f": 1319},
    ),
    "math500": Preset(
        {
            "source": "HuggingFaceH4/MATH-500",
            "revision": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
            "split": "test",
            "columns": {"prompt": "problem", "answer": "answer", "solution": "solution"}
            | {"id": "unique_id"},
        },
        rows=500,
        texts={"db657b4eb43f0ece2bce44a32e34b2d895de9d7b98587db1741f8a2880b847df": 500},
    ),
    "minerva": Preset(
        {
            "source": "knoveleng/Minerva-Math",
            "split": "train",
            "columns": {"prompt": "problem", "answer": "solution", "solution": "solution"},
            "answer_from": "last_box",
        },
        rows=272,
        texts={"989570fc21701de37f9e23752c9ce9a8d0e0a5595ec5b59347c326760941183b": 272},
    ),
    "olympiadbench": Preset(
        {
            "source": "Hothan/OlympiadBench",
            "config": "OE_TO_maths_en_COMP",
            "split": "train",
            "columns": {"prompt": "question", "answer": "final_answer", "solution": "solution"}
            | {"id": "id"},
            "answer_from": "first",
            "strip_dollars": True,
        },
        rows=674,
        texts={"50943d577be132a2d02d14a87a582debccd1fc3f54d859da9771a610e030a289": 675},
    ),
    "aime24": Preset(
        {
            "source": "HuggingFaceH4/aime_2024",
            "revision": "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
            "split": "train",
            "columns": {"prompt": "problem", "answer": "answer", "solution": "solution"}
            | {"id": "id"},
        },
        rows=30,
        texts={"cc6616bfe26edd9cb93c6ea4b89d1b221c367c175ae0bc6881da10d4c304e003": 30},
    ),
    "aime25": Preset(
        {
            "source": "math-ai/aime25",
            "revision": "563bb8404243c5f09de6ec262f2db674fe5bce9b",
            "split": "test",
            "columns": {"prompt": "problem", "answer": "answer", "id": "id"},
        },
        rows=30,
    ),
    "amc23": Preset(
        {
            "source": "math-ai/amc23",
            "split": "test",
            "columns": {"prompt": "question", "answer": "answer", "id": "id"},
        },
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
        {
            "source": "AI-MO/NuminaMath-CoT",
            "split": "train",
            "columns": {"prompt": "problem", "answer": "solution", "solution": "solution"},
            "answer_from": "last_box",
            "incomplete": "drop",
        },
        rows=859_494,
        held_out=False,
    ),
}
