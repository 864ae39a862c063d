"""A pushed data set arrives whole, alone and in private, and the token goes nowhere else."""

from urllib.parse import urlsplit

import pytest
from datasets import load_dataset

from data_gen import load_rollouts
from data_gen.exchange.hub import check_destination, push
from data_gen.types import DataError
from tests.helpers.hub import NAME, SECRET, SENT, command, described, generating, served


@pytest.fixture
def hub():
    with served() as stand_in:
        yield stand_in


@pytest.fixture
def folder(tmp_path):
    return described(tmp_path)


@pytest.mark.parametrize("large", ["lfs", "regular"])
def test_parts_card_and_counts_arrive_and_nothing_else(hub, folder, tmp_path, large):
    """By git's large files, and by the client's usual way of sending, without large files.

    The usual way sends large files to a service of its own, for which there is no stand-in.
    """
    hub.large = large
    xet = {"HF_HUB_DISABLE_XET": "1" if large == "lfs" else "0"}
    # An earlier push had more parts.
    hub.files |= {"part-00002.parquet": b"stale", "part-00000.parquet": b"stale"}
    run, home = str(folder.parent), tmp_path / "home"
    done = command(hub, home, "push", run, NAME, HF_TOKEN=SECRET, **xet)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"pushed: {hub.url}/datasets/{NAME}\n"
    assert hub.made["visibility"] == "private"
    assert (hub.made["organization"], hub.made["name"]) == tuple(NAME.split("/"))
    del hub.files["old/part-00000.parquet"]
    assert sorted(hub.files) == SENT
    for name in SENT:
        assert hub.files[name] == (folder / name).read_bytes()

    arrived = tmp_path / "arrived"
    arrived.mkdir()
    for name, content in hub.files.items():
        (arrived / name).write_bytes(content)
    assert load_rollouts(arrived) == load_rollouts(folder)
    data = load_dataset(str(arrived), cache_dir=str(tmp_path / "cache"), split="train")
    assert data["problem_id"] == [f"p{number}" for number in range(40)]


def test_the_token_is_in_the_authorization_header_alone(hub, folder, tmp_path):
    done = command(hub, tmp_path / "home", "push", str(folder), NAME, HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    assert hub.requests
    signed = set()
    for method, path, headers, body in hub.requests:
        if "authorization" in headers:
            assert headers.pop("authorization") == f"Bearer {SECRET}"
            signed.add((method, urlsplit(path).path))
        assert SECRET not in f"{path} {headers}"
        assert SECRET.encode() not in body
    # What is not signed: a file's own address, and the client's question about its surroundings.
    unsigned = {(m, urlsplit(p).path) for m, p, *_ in hub.requests} - signed
    assert {path.split("/")[1] for method, path in unsigned if method == "PUT"} == {"blob"}
    assert {path for method, path in unsigned if method != "PUT"} <= {"/api/agent-harnesses"}
    assert SECRET not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 10
    for path in written:
        assert SECRET.encode() not in path.read_bytes()


def test_what_the_hub_refuses_is_one_line_without_the_token(hub, folder, tmp_path):
    hub.refuses = "/api/datasets/someone/rollouts/commit/main"
    done = command(hub, tmp_path / "home", "push", str(folder), NAME, HF_TOKEN=SECRET)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert f"{NAME} cannot be pushed: " in lines[0]
    assert "You lack the right, [token]" in lines[0]
    assert SECRET not in done.stderr


def test_a_public_data_set_is_not_filled_by_chance(hub, folder, tmp_path):
    hub.private = False
    before = dict(hub.files)
    home = tmp_path / "home"
    done = command(hub, home, "push", str(folder), NAME, HF_TOKEN=SECRET)
    assert done.returncode == 1
    assert f"{NAME} exists and everybody can read it" in done.stderr
    assert hub.files == before
    done = command(hub, home, "push", str(folder), NAME, "--public", HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    assert hub.made["visibility"] == "public"
    assert set(SENT) <= hub.files.keys()


def test_without_a_token_nothing_is_asked_of_the_hub(hub, folder, tmp_path):
    # A token saved by another tool is not taken: only the environment's is.
    (tmp_path / "token").write_text(SECRET)
    done = command(hub, tmp_path, "push", str(folder), NAME)
    assert done.returncode == 1
    assert "set the environment variable HF_TOKEN" in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize("name", ["a/b/c", "", "some one/x", "x--y", "../x", "-x", "x" * 97])
def test_malformed_names_are_refused_beforehand(monkeypatch, name):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with pytest.raises(DataError, match="is no name of the hub"):
        check_destination(name)


def test_a_folder_that_is_no_described_data_set_is_refused(monkeypatch, folder, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", SECRET)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        push(folder, NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(DataError, match=r"no part-\*\.parquet in this folder"):
        push(tmp_path, NAME)
    card = folder / "README.md"
    text = card.read_text()
    for broken, message in (
        (text.replace("---\n", "", 1), "does not begin with its settings"),
        (text.replace("pretty_name: x", "pretty_name: [x"), "the hub cannot read this card"),
        (None, "there is no card"),
    ):
        if broken is None:
            card.unlink()
        else:
            card.write_text(broken)
        with pytest.raises(DataError, match=message):
            push(folder, NAME)


def test_the_card_is_one_that_the_hub_reads(folder):
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(folder / "README.md").data
    assert data.pretty_name == "x"
    assert data.task_categories == ["text-generation"]
    assert data.configs[0]["data_files"] == [{"split": "train", "path": "part-*.parquet"}]


def test_generate_pushes_what_it_made(hub, tmp_path):
    done = generating(hub, tmp_path, "--push", NAME, HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"pushed: {hub.url}/datasets/{NAME}\n")
    made = tmp_path / "made" / "dataset"
    sent = {path.name for path in made.iterdir()} & set(SENT)
    assert {"README.md", "part-00000.parquet"} <= sent
    assert all(hub.files[name] == (made / name).read_bytes() for name in sent)
    assert SECRET not in done.stdout + done.stderr
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_generate_refuses_to_push_before_it_does_anything(hub, tmp_path):
    for name, environment, message in (
        (NAME, {}, "set the environment variable HF_TOKEN"),
        ("a/b/c", {"HF_TOKEN": SECRET}, "is no name of the hub"),
        (NAME, {"HF_TOKEN": SECRET, "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ):
        done = generating(hub, tmp_path, "--push", name, **environment)
        assert done.returncode == 1
        assert message in done.stderr
        assert not (tmp_path / "made").exists()
    assert hub.requests == []
