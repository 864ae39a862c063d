import gc
import os
from pathlib import Path

# One thread: several on a busy machine are slower by far, and results stay the same to the bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Laws that hold to the bit hold on CPUs; `CUDA_VISIBLE_DEVICES=0 pytest ...` tests with a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Nothing may need a C++ compiler: many machines have none.
os.environ.setdefault("CXX", "/nowhere/c++")

import pytest
from jaxtyping import install_import_hook

# What the tests import stays: to look for garbage in it is a good part of the time it takes.
gc.disable()

install_import_hook("losses", "beartype.beartype")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With `--dist loadgroup` a file is one process's, and so are all files of a group of theirs.

    Files share a group where they share a slow start: vLLM's, or verifiers that learn a grammar.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """The process that hands out the tests collects none itself."""
    gc.enable()


def pytest_collection_finish():
    """From here on the collector of garbage looks only at what comes later."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    """A folder with an untrained two-layer Llama and a tokenizer of one token a byte.

    Its text is long and varied, and it ends by itself in one token of some 260. What its
    generation_config.json recommends must not reach any sample.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
    from transformers import PreTrainedTokenizerFast as FastTokenizer

    folder = tmp_path_factory.mktemp("random_model")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<eos>": 0} | {letter: i for i, letter in enumerate(letters, 1)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    FastTokenizer(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=0, repetition_penalty=3.0, top_k=2, do_sample=True
    )
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def vllm_engine():
    """The one vLLM process of the test session; a test calls `load(folder)` for its model."""
    from data_gen.samplers.vllm import VllmEngine
    from data_gen.samplers.vllm_settings import VllmSettings

    class Keeping(VllmEngine):
        """Holds on to a model that is asked for again: no test changes one's files."""

        held = None

        def load(self, model):
            if not self._replicas or model != self.held:
                super().load(model)
                self.held = model

    with Keeping(VllmSettings(dtype="float32")) as engine:
        yield engine


@pytest.fixture(scope="session")
def transformers_engine():
    """transformers' engine; a test calls `load(folder)` for its model."""
    from data_gen.samplers.transformers import TransformersEngine

    with TransformersEngine("float32", batch_size=64) as engine:
        yield engine


@pytest.fixture(scope="session")
def real_data():
    """The folder with real problems and completions, or the small excerpts in tests/fixtures."""
    return Path(os.environ.get("OFFLINE_RL_REAL_DATA", Path(__file__).parent / "fixtures"))


@pytest.fixture(scope="session")
def warm():
    """A process with everything imported, whose forks run the command."""
    from tests.helpers.faults import Warm

    with Warm() as process:
        yield process


@pytest.fixture(scope="module")
def patient(random_model):
    """What the doctor examines: the demo of the untrained model."""
    from offline_rl.config.load import load_experiment
    from offline_rl.doctor.diagnose import examined
    from offline_rl.progress import Silent

    changes = [f"model={random_model}", "sampler=transformers", "sampling.max_tokens=64"]
    with examined(load_experiment("demo", changes), Silent()) as made:
        yield made


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The small report that the tests of the page look at."""
    from tests.helpers.page_reports import small_report

    return small_report(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_page(small, tmp_path_factory):
    """The file of its page."""
    from tests.helpers.page_reports import written

    return written(small, tmp_path_factory.mktemp("small_page"))
