"""A pushed data set arrives whole, alone and in private, and the token goes nowhere else."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from datasets import load_dataset

from data_gen import load_rollouts, save_rollouts
from data_gen.card import dataset_card, summarise
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from offline_rl.publishing import check_destination, push

SECRET = "hf_secretSecretSecretSecretSecret"
NAME = "someone/rollouts"
SENT = ["README.md", "part-00000.parquet", "part-00001.parquet", "summary.json"]


class Hub:
    """A stand-in for the hub: what a client is told by it, and what it was sent."""

    def __init__(self, url):
        self.url = url
        self.files = {"old/part-00000.parquet": b"", "part-00007.parquet": b"stale"}
        self.private = True
        self.large = "lfs"
        self.made = None
        self.refuses = None
        self.blobs = {}
        self.requests = []

    def answer(self, method, path, body):
        if self.refuses == path:
            return 403, {"error": f"You lack the right, {SECRET}"}
        match method, path:
            case "POST", "/api/repos/create":
                self.made = json.loads(body)
                return 200, {"url": f"{self.url}/datasets/{NAME}"}
            case "GET", "/api/datasets/someone/rollouts":
                return 200, {"id": NAME, "private": self.private, "sha": "0" * 40}
            case "GET", "/api/datasets/someone/rollouts/tree/main":
                return 200, [
                    {"type": "file", "path": name, "size": len(content), "oid": "1" * 40}
                    for name, content in self.files.items()
                ]
            case "POST", "/api/validate-yaml":
                return 200, {"errors": [], "warnings": []}
            case "POST", "/api/datasets/someone/rollouts/preupload/main":
                modes = {True: self.large, False: "regular"}
                asked = json.loads(body)["files"]
                told = [
                    {
                        "path": one["path"],
                        "uploadMode": modes[one["path"].endswith(".parquet")],
                        "shouldIgnore": False,
                    }
                    for one in asked
                ]
                return 200, {"files": told}
            case "POST", "/datasets/someone/rollouts.git/info/lfs/objects/batch":
                objects = [
                    {**one, "actions": {"upload": {"href": f"{self.url}/blob/{one['oid']}"}}}
                    for one in json.loads(body)["objects"]
                ]
                return 200, {"transfer": "basic", "objects": objects}
            case "POST", "/api/datasets/someone/rollouts/commit/main":
                self.commit([json.loads(line) for line in body.splitlines()])
                url = f"{self.url}/datasets/{NAME}/commit/{'2' * 40}"
                return 200, {"commitUrl": url, "commitOid": "2" * 40}
        if method == "PUT" and path.startswith("/blob/"):
            self.blobs[path.removeprefix("/blob/")] = body
            return 200, {}
        return 404, {"error": f"no {method} {path}"}

    def commit(self, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "deletedFile":
                del self.files[value["path"]]
            elif line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.blobs[value["oid"]]


@pytest.fixture
def hub():
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.hub.requests.append((self.command, self.path, dict(self.headers), body))
            path = urlsplit(self.path).path
            status, value = self.server.hub.answer(self.command, path, body)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = handle_any

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.hub
    server.shutdown()
    thread.join()
    server.server_close()


def rollout(number):
    return Rollout(
        Problem(f"p{number}", f"{number}?", f"{number}"),
        Completion(f"p{number}", 0, 0, f"{number}?", [1, 2], "text", [3, 4], [-0.5, -1], "stop"),
        Verdict.correct(f"{number}"),
    )


@pytest.fixture
def folder(tmp_path):
    """A data set's folder, with files beside that nobody else should see."""
    made = tmp_path / "run" / "dataset"
    made.mkdir(parents=True)
    rollouts = [rollout(number) for number in range(40)]
    save_rollouts(rollouts[:30], made / "part-00000.parquet")
    save_rollouts(rollouts[30:], made / "part-00001.parquet")
    summary = summarise(rollouts)
    (made / "summary.json").write_text(json.dumps(summary))
    (made / "README.md").write_text(dataset_card("x", summary, {"model": "tiny"}))
    for name in ("stage.json", "engine.json", "dropped.jsonl", "about.json", ".part-00002.parquet"):
        (made / name).write_text("{}")
    (made / "logs").mkdir()
    (made / "logs" / "part-00000.parquet").write_text("a log")
    return made


def command(hub, home, *arguments, **environment):
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))
    }
    return subprocess.run(
        [str(Path(sys.executable).with_name("offline-rl")), *arguments],
        env={
            **clean,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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


def generating(hub, tmp_path, *arguments, **environment):
    rows = tmp_path / "rows.jsonl"
    problem = {"problem": "1+1?", "answer": "2", "completions": ["2", "3"], "rewards": [1, 0]}
    rows.write_text(json.dumps(problem))
    given = ("generate", "--model", "tiny", "--rollouts", str(rows), "rollouts.verify=false")
    out = ("--out", str(tmp_path / "made"))
    return command(hub, tmp_path / "home", *given, *out, *arguments, **environment)


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
