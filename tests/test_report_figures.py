"""Names in figures stay apart, however many policies there are."""

import re
from itertools import pairwise

import pandas as pd
import pytest

from offline_rl.report.figures.palette import looks
from offline_rl.report.figures.sharpening import accuracy_and_pass_at_k

LINE = 10


def crowd(count):
    """So many policies that are nearly alike."""
    return pd.DataFrame(
        {
            "label": [f"policy-{n}" for n in range(count)],
            "benchmark": "easy",
            "samples_per_problem": 8,
            "training_seeds": 1,
            "avg_at_k_percent": [50 + n / 10 for n in range(count)],
            "pass_at_k_percent": [70 + n / 10 for n in range(count)],
        }
    )


@pytest.mark.parametrize("count", [9, 16, 30])
def test_the_names_of_a_crowd_stand_below_each_other(count):
    table = crowd(count)
    [picture] = accuracy_and_pass_at_k(table, looks(table))
    texts = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>(policy-\d+)</text>', str(picture.svg)
    )
    assert sorted(name for _, _, name in texts) == sorted(table["label"])
    heights = sorted(float(y) for _, y, _ in texts)
    assert all(below - above >= LINE for above, below in pairwise(heights))
    assert len({x for x, _, _ in texts}) == 1
