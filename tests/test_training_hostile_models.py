"""A model folder from anywhere runs nothing: no pickle, no code of its own, no free template."""

import json
import os
import pickle
import shutil

import pytest

from data_gen.model_ref import ModelRef
from data_gen.prompts import render
from data_gen.samplers.base import EngineError
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import DataError, Problem
from offline_rl.settings.training import TrainingSettings
from offline_rl.stages.engines import stored_dtype
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.model import load_policy


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(TINY_BASE, tmp_path / "model")


@pytest.fixture
def bait(tmp_path):
    return tmp_path / "bait"


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def loaders(folder, transformers_engine):
    """Everything that loads something of a model, by what it raises."""
    name = str(folder)
    return [
        (DataError, lambda: load_tokenizer(ModelRef(name))),
        (DataError, lambda: stored_dtype(ModelRef(name))),
        (DataError, lambda: load_policy(ModelRef(name), TrainingSettings())),
        (EngineError, lambda: transformers_engine.load(ModelRef(name))),
    ]


def refusals(folder, transformers_engine):
    """What the loaders say that do not load; each in its own words, naming the folder."""
    said = []
    for kind, load in loaders(folder, transformers_engine):
        try:
            load()
        except kind as error:
            said.append(str(error))
    assert all(str(folder) in one for one in said)
    return said


def test_the_payload_is_one(bait):
    pickle.loads(pickle.dumps(Payload(bait)))  # noqa: S301 (our own)
    assert bait.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "adapter_model.bin"])
def test_pickled_weights_are_refused_unread(model, bait, transformers_engine, name):
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(pickle.dumps(Payload(bait)))
    said = refusals(model, transformers_engine)
    assert len(said) == 2
    assert all("safetensors" in one for one in said)
    assert not bait.exists()


def test_vllm_refuses_pickled_weights_too(model, bait):
    pytest.importorskip("vllm", reason="this machine has no build of vLLM")
    from data_gen.samplers.vllm import VllmEngine
    from data_gen.samplers.vllm_settings import VllmSettings

    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(bait)))
    with VllmEngine(VllmSettings(dtype="float32")) as engine:
        with pytest.raises(EngineError, match="Cannot find any model weights"):
            engine.load(ModelRef(str(model)))
        (model / "adapter_config.json").write_text('{"r": 8}')
        (model / "adapter_model.bin").write_bytes(pickle.dumps(Payload(bait)))
        with pytest.raises(EngineError, match=r"no adapter_model\.safetensors"):
            engine.load(ModelRef(str(TINY_BASE), adapter=str(model)))
    assert not bait.exists()


def test_a_models_own_code_is_not_run_unasked(model, bait, transformers_engine):
    code = f"import os\nos.mkdir({str(bait)!r})\nclass C: ...\n"
    (model / "evil.py").write_text(code)
    own = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"}
    change(model / "config.json", auto_map=own)
    # Of a kind that transformers knows, its own class is taken.
    assert refusals(model, transformers_engine) == []
    change(model / "config.json", model_type="evil")
    said = refusals(model, transformers_engine)
    assert len(said) == 3
    assert all("runs only with remote_code: true" in one for one in said)
    shutil.copy(TINY_BASE / "config.json", model / "config.json")
    tokenizer = {"auto_map": {"AutoTokenizer": ["evil.C", None]}, "tokenizer_class": "C"}
    change(model / "tokenizer_config.json", **tokenizer)
    said = refusals(model, transformers_engine)
    assert len(said) == 2
    assert all("runs only with remote_code: true" in one for one in said)
    assert not bait.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[]"),
        ("config.json", b"\xff\x00"),
        ("config.json", b'{"model_type": "llama", "hidden_size": "x"}'),
        ("config.json", b'{"model_type": "../../x"}'),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\x00"),
        ("tokenizer_config.json", b"[]"),
        ("tokenizer_config.json", b'{"tokenizer_class": "os.system"}'),
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("model.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"),
        ("generation_config.json", b"[]"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_broken_model_folder_is_loaded_or_named(model, transformers_engine, name, content):
    (model / name).write_bytes(content)
    refusals(model, transformers_engine)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1/0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{% for x in range(10**12) %}x{% endfor %}",
        "{{ 'a' * 10**15 }}",
        "{{ messages[99]['x'].y }}",
        "{% include '/etc/passwd' %}",
        "{% for",
    ],
)
def test_a_chat_template_stays_in_its_sandbox(template):
    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))
    tokenizer.chat_template = template
    with pytest.raises(DataError, match="chat template says"):
        render(Problem("a", "q", "1"), "chat", tokenizer)


@pytest.mark.parametrize("text", ["{{7*7}}", "{0.__class__}", "{% raw %}", "{problem}", "%s%n"])
def test_a_problem_is_no_template(text):
    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))
    tokenizer.chat_template = "{% for m in messages %}<{{ m['content'] }}>{% endfor %}"
    assert render(Problem("a", text, "1"), "chat", tokenizer) == f"<{text}>"
    assert render(Problem("a", text, "1"), "Q: {problem}", tokenizer) == f"Q: {text}"
