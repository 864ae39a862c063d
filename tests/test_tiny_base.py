"""The embedded base model: what its card says is so, and the recipe makes such models."""

import json
import re
import subprocess
import sys
from itertools import islice
from statistics import fmean

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_gen.model_ref import ModelRef
from data_gen.problems.arithmetic import Computation, arithmetic_problems
from data_gen.samplers import ModelSampler
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import DataError
from offline_rl.tiny_base import TINY_BASE
from offline_rl.tiny_base.corpus import documents
from offline_rl.tiny_base.figures import FIGURES_FILE, Figure, measure_tiny_base
from offline_rl.tiny_base.recipe import build_tiny_base, held_out_nll

pytestmark = pytest.mark.xdist_group("vllm")

DOCUMENTS = list(islice(documents("validation", 5), 500))
TEXTS = [prompt + told for prompt, told in DOCUMENTS]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_BASE)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(TINY_BASE)


def load_figures(folder):
    return [Figure(**row) for row in json.loads((folder / FIGURES_FILE).read_text())]


def test_the_folder_is_known_without_torch():
    script = "import sys, offline_rl.tiny_base; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", script], check=True)


def test_a_short_build_learns_and_repeats_itself_to_the_bit(tmp_path, model, tokenizer):
    heard = []
    for name in ("one", "two"):
        facts = build_tiny_base(
            tmp_path / name, seed=3, documents=480, on_progress=lambda *args: heard.append(args)
        )
    assert heard[-1] == (480, 480)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    built = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    uniform = torch.tensor(float(built.config.vocab_size)).log().item()
    assert facts["held_out_nll"] < uniform - 2
    own_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    assert held_out_nll(built, own_tokenizer, 3) == pytest.approx(facts["held_out_nll"], abs=1e-5)
    assert held_out_nll(model, tokenizer, 3) < facts["held_out_nll"] / 2


def test_no_documents_are_no_base(tmp_path):
    with pytest.raises(DataError, match="documents = 0"):
        build_tiny_base(tmp_path, documents=0)


def test_the_corpus_holds_the_train_portion_alone():
    told = {"Add": "+", "Subtract": "-", "Multiply by": "*"}
    for prompt, _ in islice(documents("train", 0), 5000):
        if prompt.startswith("Start"):
            steps = re.findall(r"(Add|Subtract|Multiply by) (\d+)\.", prompt)
            steps = tuple((told[word], int(operand)) for word, operand in steps)
        else:
            steps = tuple((s, int(n)) for s, n in re.findall(r"([-+*])(\d+)", prompt))
        if prompt:
            start = int(re.search(r"\d+", prompt)[0])
            assert Computation(start, steps).portion == "train"


def test_the_model_has_the_shape_that_every_engine_takes(model, tokenizer):
    config = model.config
    assert (config.model_type, config.head_dim, config.max_position_embeddings) == (
        "llama",
        32,
        1024,
    )
    assert config.vocab_size == len(tokenizer)
    assert model.dtype == torch.float32
    end = tokenizer.eos_token_id
    assert end != tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == config.eos_token_id == end


def test_every_tokenizer_reads_500_documents_alike(tokenizer):
    plain = Tokenizer.from_file(str(TINY_BASE / "tokenizer.json"))
    expected = [one.ids for one in plain.encode_batch(TEXTS)]
    assert tokenizer(TEXTS)["input_ids"] == expected
    assert plain.decode_batch(expected) == TEXTS
    script = (
        "import json, sys; from vllm.tokenizers import get_tokenizer\n"
        "tokenizer = get_tokenizer(sys.argv[1])\n"
        "print(json.dumps([tokenizer.encode(text) for text in json.load(sys.stdin)]))"
    )
    vllm = subprocess.run(
        [sys.executable, "-P", "-c", script, str(TINY_BASE)],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(vllm.stdout.splitlines()[-1]) == expected


def test_prompt_and_completion_never_share_a_token(tokenizer):
    pairs = DOCUMENTS + [(p.prompt, p.solution) for p in arithmetic_problems("template", 100)]
    for prompt, told in pairs:
        apart = tokenizer.encode(prompt) + tokenizer.encode(told)
        assert apart == tokenizer.encode(prompt + told)


def test_any_text_can_be_told_in_tokens(tokenizer):
    text = "Natalia sold 48/2 = 24 clips — “naïve” \\frac{1}{2} 数\t\x00\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_end_is_a_trained_token(model, tokenizer):
    ends = []
    for problem in arithmetic_problems("test", 50):
        tokens = torch.tensor([tokenizer.encode(problem.prompt + problem.solution)])
        with torch.no_grad():
            logits = model(tokens).logits[0].log_softmax(-1)
        end = logits[:, tokenizer.eos_token_id].exp()
        assert end[-1] > 0.9
        ends.append(end[:-1].max().item())
    # Only authors who give up end anywhere else.
    assert fmean(ends) < 0.5


def test_the_shipped_model_has_the_accuracy_that_its_card_claims(vllm_engine):
    vllm_engine.load(ModelRef(str(TINY_BASE)))
    sample = ModelSampler(vllm_engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
    card = (TINY_BASE / "README.md").read_text()
    claimed = load_figures(TINY_BASE)
    for claim, seen in zip(claimed, measure_tiny_base(sample, problems=100, seed=1), strict=True):
        assert (claim.split, claim.temperature) == (seen.split, seen.temperature)
        error = (claim.standard_error**2 + seen.standard_error**2) ** 0.5
        assert abs(claim.accuracy - seen.accuracy) < 3 * error, claim.split
        assert (
            f"| {claim.split} | {claim.temperature or '0 (greedy)'} | {claim.accuracy:.1%}" in card
        )


def test_the_base_leaves_room_to_learn():
    claimed = {(claim.split, claim.temperature): claim for claim in load_figures(TINY_BASE)}
    assert 0.15 < claimed["test", 1.0].accuracy < 0.35
    assert claimed["test", 1.0].mixed_share > 0.8
    assert claimed["test", 0.0].accuracy < 0.1
    assert claimed["big", 1.0].accuracy > 0.05
