"""A local server that speaks S3 and holds to If-None-Match, and small stages to put there."""

import contextlib
import zlib

import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from offline_rl.artifacts.checksums import parse_checksummed
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.read_stored import content_of
from offline_rl.artifacts.stage import Stage

SECRET = "a-planted-secret-key-of-the-store"


@pytest.fixture(scope="module")
def endpoint():
    """A store with one bucket, and an environment that leads every process to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "somebody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("NO_PROXY", host)
        # No settings of whoever runs the tests.
        environment.setenv("AWS_CONFIG_FILE", "/dev/null")
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        # Connections to an earlier file's server are kept by s3fs, its bucket by moto.
        S3FileSystem.clear_instance_cache()
        Objects("s3://runs")._files.makedirs("runs", exist_ok=True)
        yield
    server.stop()


@pytest.fixture
def address(endpoint, request):
    return f"s3://runs/{zlib.crc32(request.node.name.encode()):x}"


@pytest.fixture
def objects(address):
    return Objects(address)


def names(address):
    """Of every object below an address."""
    root = address.removeprefix("s3://")
    return sorted(found.removeprefix(f"{root}/") for found in Objects(address)._files.find(root))


def finish(folder, content, inputs=None):
    stage = Stage(folder / "rollouts", inputs or {"seed": 1})
    with stage.work() as at_work:
        (at_work / "part.txt").write_text(content)
        (at_work / "inner").mkdir()
        (at_work / "inner" / "more.txt").write_text(content[::-1])
    return stage


def begin(stage, content):
    """As if killed at work."""
    with contextlib.suppress(RuntimeError), stage.work() as folder:
        (folder / "part.txt").write_text(content)
        raise RuntimeError


def check_whole(address):
    """Every manifest in the store finds all of its files as it lists them; their number."""
    objects, checked = Objects(address), 0
    for name in names(address):
        if name.endswith("/stage.json"):
            place = name.removesuffix("/stage.json")
            text = objects.read(name)
            manifest = parse_checksummed(text)
            assert content_of(text.decode()) == place.rpartition("/")[2]
            for file, about in manifest["files"].items():
                assert len(objects.read(f"{place}/{file}")) == about["bytes"], (place, file)
            checked += 1
    return checked
