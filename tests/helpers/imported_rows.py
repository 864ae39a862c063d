"""Rows of a file that somebody else made, imported with the tokenizer of one token a byte."""

import json

import pytest
from transformers import AutoTokenizer

from data_gen import verify
from data_gen.exchange.import_rollouts import import_rollouts

EOS = 0


@pytest.fixture
def tokenizer(random_model):
    return AutoTokenizer.from_pretrained(random_model)


@pytest.fixture
def brought(tmp_path, tokenizer):
    def read(*rows, style="raw", verify=verify):
        path = tmp_path / "foreign.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return import_rollouts(path, tokenizer=tokenizer, style=style, verify=verify)

    return read
