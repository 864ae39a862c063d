"""Planted tokens are in nothing that a run leaves behind or says, tracebacks included."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from offline_rl.config.load import UsageError, load_experiment
from offline_rl.progress import printable
from offline_rl.redaction import holds_user, redacted

PLANTED = {
    "HF_TOKEN": "hf_planted_aaaaaaaaaaaa",
    "HUGGING_FACE_HUB_TOKEN": "hf_planted_bbbbbbbbbbbb",
    "WANDB_API_KEY": "planted0123456789abcdef0123456789abcdef01",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret",
    "SERVER_API_KEY": "sk-planted-server-key",
    "HTTP_PROXY": "http://user:planted-proxy-password@127.0.0.1:9",
}
MARKS = ["planted"]
SHORT = [
    *("problems.limit=12", "sampling.samples=2", "training.steps=2", "sampler=transformers"),
    *("training.examples_per_step=4", "seeds=[0]", "evaluation.decodings={}", "methods={rft: {}}"),
    "evaluation.benchmarks={easy: {source: arithmetic, split: test, limit: 4}}",
    "evaluation.sampling.samples=2",
    "training.report_to=[tensorboard]",
]


def offline_rl(*arguments, **environment):
    return subprocess.run(
        [str(Path(sys.executable).with_name("offline-rl")), *map(str, arguments)],
        env={**os.environ, **PLANTED, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def told(done):
    return done.stdout + done.stderr


@pytest.fixture
def server():
    """Refuses everybody, and repeats the key that it was shown."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            shown.append(self.headers["authorization"])
            content = json.dumps({"error": f"no entry with {shown[-1]}"}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_): ...

    shown = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", shown
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_whole_run_leaves_no_token(tmp_path):
    pytest.importorskip("tensorboard")
    done = offline_rl("run", "demo", *SHORT, "--out", tmp_path / "run")
    assert done.returncode == 0, told(done)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"index.html", "experiment.yaml", "environment.json"} <= {path.name for path in files}
    for mark in MARKS:
        assert mark not in told(done)
        assert [path for path in files if mark.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_failures_tell_no_token(warm, server, tmp_path, debug, monkeypatch):
    url, shown = server
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)

    def refused_by(*arguments, **environment):
        with pytest.MonkeyPatch.context() as more:
            for name, value in environment.items():
                more.setenv(name, value)
            return warm.run([*debug, *arguments], check=1, scripted=False)

    sampler = "sampler={kind: server, url: '%s', api_key_variable: SERVER_API_KEY, retries: 0}"
    of = ("--model", "tiny", "--problems", "arithmetic", "problems.split=train", "problems.limit=4")
    generate = ("generate", *of, "--out", tmp_path / "run")
    refused = refused_by(*generate, sampler % url, NO_PROXY="127.0.0.1")
    assert shown == [f"Bearer {PLANTED['SERVER_API_KEY']}"]
    assert "no entry with Bearer ***" in " ".join(refused.split())
    proxied = refused_by(*generate, sampler % "http://server.example/v1")
    broken = refused_by(*generate, sampler % url, HTTP_PROXY="ftp://u:planted@127.0.0.1")
    assert "names: http://host:port" in " ".join(broken.split())
    for said in (refused, proxied, broken):
        assert ("Traceback" in said) == bool(debug)
        assert "planted" not in said
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"planted" not in path.read_bytes()


@pytest.mark.parametrize(
    "setting",
    [
        "sampler={kind: server, url: 'http://h/v1', api_key_variable: sk-planted}",
        "sampler={kind: server, url: 'http://h/v1', api_key: sk-planted}",
        "sampler={kind: server, url: 'http://u:planted@h/v1'}",
        "sampler={kind: server, url: 'ftp://u:planted@h/v1'}",
        "cluster={address: 'ray://u:planted@h:10001'}",
        "problems.path=https://planted@h/x.jsonl",
        "model=https://u:planted@huggingface.example/m",
        "prompt='{problem} http://u:planted@h'",
    ],
)
def test_a_secret_in_the_settings_is_refused_and_not_repeated(setting):
    with pytest.raises(UsageError) as refused:
        load_experiment("demo", [setting])
    assert setting.partition("=")[0].partition(".")[0] in str(refused.value)
    assert "planted" not in str(refused.value)


def test_what_is_printed_has_no_secrets_by_value_or_by_place(monkeypatch):
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHORT_TOKEN", "none")
    text = f"none {' '.join(PLANTED.values())} postgres://me:planted@db/x user@host a://b/c@d"
    assert "planted" not in printable(text)
    assert printable(text).startswith("none [secret] ")
    assert printable(text).endswith("postgres://[secret]@db/x user@host a://b/c@d")
    assert redacted("nothing") == "nothing"
    assert not holds_user("a@b http://h/@x http://h?a@b")
