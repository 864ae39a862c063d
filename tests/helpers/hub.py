"""A stand-in for the hub, a data set to push, and the real command that pushes it."""

import base64
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from data_gen import save_rollouts
from data_gen.cards.dataset_card import dataset_card
from data_gen.cards.rollout_counts import RolloutCounter
from data_gen.types import Completion, Problem, Rollout, Verdict

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


@contextmanager
def served():
    """The stand-in, at an address of this machine."""

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


def described(folder):
    """A data set's folder, with files beside that nobody else should see."""
    made = folder / "run" / "dataset"
    made.mkdir(parents=True)
    rollouts = [rollout(number) for number in range(40)]
    save_rollouts(rollouts[:30], made / "part-00000.parquet")
    save_rollouts(rollouts[30:], made / "part-00001.parquet")
    counter = RolloutCounter()
    counter.add(rollouts)
    summary = counter.sampled().model_dump()
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


def generating(hub, tmp_path, *arguments, **environment):
    rows = tmp_path / "rows.jsonl"
    problem = {"problem": "1+1?", "answer": "2", "completions": ["2", "3"], "rewards": [1, 0]}
    rows.write_text(json.dumps(problem))
    given = ("generate", "--model", "tiny", "--rollouts", str(rows), "rollouts.verify=false")
    out = ("--out", str(tmp_path / "made"))
    return command(hub, tmp_path / "home", *given, *out, *arguments, **environment)
