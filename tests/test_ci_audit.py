"""The audit of the lock file asks for every package, and is silent on none that is vulnerable."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def database():
    """Knows of one vulnerable version, and answers in the form of OSV's querybatch."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            bad = {"package": {"name": "b", "ecosystem": "PyPI"}, "version": "2.0"}
            entries = {"vulns": [{"id": "GHSA-2"}, {"id": "GHSA-1"}]}
            results = [entries if one == bad else {} for one in asked]
            content = json.dumps({"results": results[: self.server.most]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.most = None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_line_of_the_lock_file_is_a_pinned_package(audit):
    lock = (ROOT / "requirements-cpu.lock").read_text()
    packages = audit.pinned(lock)
    lines = [line for line in lock.splitlines() if line.strip() and not line.startswith("#")]
    assert len(packages) > 100
    assert len({line.split("==")[0] for line in lines}) == len(packages)


def test_vulnerable_packages_are_named_and_a_short_answer_is_none(audit, database):
    server, url = database
    assert audit.known({"a": "1.0", "b": "2.0", "c": "3"}, url) == ["b 2.0: GHSA-1, GHSA-2"]
    assert audit.known({"b": "2.1"}, url) == []
    server.most = 1
    with pytest.raises(ValueError, match="shorter"):
        audit.known({"a": "1.0", "b": "2.0"}, url)


def test_without_an_answer_the_audit_says_that_it_was_skipped(audit, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["audit", str(ROOT / "requirements-cpu.lock")])
    monkeypatch.setattr(
        httpx,
        "post",
        lambda *_, **__: httpx.Response(503, request=httpx.Request("POST", "http://x")),
    )
    assert audit.main() == 0
    assert "skipped" in capsys.readouterr().out
