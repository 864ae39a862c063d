"""A server is a store where it creates an object once; others are refused before any work."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from s3fs import S3FileSystem

from data_gen.types import DataError
from offline_rl.artifacts.object_store.objects import Objects
from tests.helpers import object_store
from tests.helpers.fault_syscalls import LEAN
from tests.helpers.faults import command
from tests.helpers.object_store import SECRET

endpoint = object_store.endpoint
address = object_store.address
objects = object_store.objects


def test_an_object_is_created_by_one_of_many(objects):
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda n: objects.create("one", str(n)), range(16)))
    assert sum(won) == 1
    assert objects.read("one") == str(won.index(True)).encode()
    objects.write("one", "anew")
    assert objects.read("one") == b"anew"
    assert objects.read("none") is None


@pytest.mark.parametrize(
    ("store", "named"),
    [
        ("s3://no-such-bucket/run", "s3://no-such-bucket/run"),
        ("s3://user:password@runs/run", "store"),
        ("gs://runs/run", "store"),
        ("s3://runs/../run", "store"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_before_anything_is_sampled(
    warm, tmp_path, store, named
):
    said = warm.run(command(tmp_path / "run", [*LEAN, f"store={json.dumps(store)}"]), check=1)
    assert named in said
    assert "engine:" not in said
    assert SECRET not in said
    assert not list(tmp_path.rglob("part-*"))


def test_a_store_that_replaces_what_it_must_not_is_refused(objects, monkeypatch):
    put = objects._files.pipe_file
    # The header is ignored, as older servers do.
    monkeypatch.setattr(objects._files, "pipe_file", lambda path, text, mode="": put(path, text))
    with pytest.raises(DataError, match="If-None-Match"):
        objects.check()


@pytest.fixture
def answering(monkeypatch):
    """A store that answers puts with given statuses, as some do in place of moto's answers."""
    statuses = []

    class Handler(BaseHTTPRequestHandler):
        # Clients wait to be told to go on before they send.
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, code = statuses.pop(0)
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>" * (status != 200)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        S3FileSystem.clear_instance_cache()
        yield statuses
        server.shutdown()
        thread.join()
        S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("answers", "created"),
    [
        ([(200, "")], True),
        ([(412, "PreconditionFailed")], False),
        ([(409, "ConditionalRequestConflict"), (200, "")], True),
        ([(409, "OperationAborted"), (412, "PreconditionFailed")], False),
    ],
)
def test_other_stores_say_in_other_ways_that_an_object_is_there(
    endpoint, answering, answers, created
):
    answering.extend(answers)
    assert Objects("s3://runs/other").create("one", "text") is created
    assert answering == []


def test_a_refusal_is_no_sign_that_an_object_is_there(endpoint, answering):
    answering.append((403, "AccessDenied"))
    with pytest.raises(OSError, match="s3://runs/other/one"):
        Objects("s3://runs/other").create("one", "text")


def test_a_run_without_a_store_imports_nothing_of_one():
    script = (
        "import sys, offline_rl.workflows.experiment, offline_rl.workflows.reports;"
        " sys.exit(not {'s3fs', 'botocore'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0
