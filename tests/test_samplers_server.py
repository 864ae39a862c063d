"""What is asked of a server is sampled once and whole, whatever happens on the way."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_gen import collect, load_rollouts
from data_gen.model_ref import ModelRef
from data_gen.samplers import EngineError, ModelSampler, ServerSettings, start_engine
from data_gen.samplers.base import Request
from data_gen.samplers.server import ServerEngine
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Problem, Sampling, Verdict
from offline_rl.progress import Silent
from offline_rl.stages.engines import Engines
from offline_rl.tiny_base import TINY_BASE

pytestmark = pytest.mark.xdist_group("verifiers")


class Endpoint(ThreadingHTTPServer):
    """A completions endpoint that fails as it is told to and then gives a fixed answer.

    `faults` are taken from the front, one a request. What is asked for is kept in `asked`, what
    was answered well in `answered`.
    """

    daemon_threads = True

    def __init__(self, faults=(), change=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults = list(faults)
        self.change = change or (lambda answer: answer)
        self.asked, self.answered, self.keys = [], [], []
        self.at_once, self.most_at_once = 0, 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """The client hangs up when it has waited long enough."""

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *about):
        pass

    def do_GET(self):
        self.server.keys.append(self.headers.get("Authorization"))
        if self.path == "/v1/models":
            self.reply(200, {"data": [{"id": "fixed", "max_model_len": 64}]})
        else:
            self.reply(404, {"detail": "Not Found"})

    def do_POST(self):
        server = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append(asked)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            fault = server.faults.pop(0) if server.faults else None
        try:
            if fault is None:
                server.answered.append(asked["seed"])
                self.reply(200, server.change(good(asked)))
            else:
                fault(self)
        finally:
            with server.lock:
                server.at_once -= 1

    def reply(self, status, value, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)


def good(asked):
    """Every sample is named by its seed."""
    seeds = [asked["seed"] + j for j in range(asked["n"])]
    choices = [
        {
            "index": j,
            "text": str(seed),
            "token_ids": [seed],
            "logprobs": {"token_logprobs": [-0.5]},
            "finish_reason": "stop",
        }
        for j, seed in enumerate(seeds)
    ]
    return {"choices": choices[::-1]}


def status(code, *headers):
    return lambda handler: handler.reply(code, {"error": {"message": "not now"}}, headers)


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.close_connection = True


def half(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def hang(handler):
    handler.server.released.wait(60)
    handler.close_connection = True


def settings(server, **changes):
    given = {"backoff_seconds": 0.01, "timeout_seconds": 60, "concurrency": 8, "retries": 4}
    return ServerSettings(url=server.url, **given | changes)


def requests(count):
    return [Request((1, 2, 3), 1000 * i) for i in range(count)]


SAMPLING = Sampling(samples=2, max_tokens=500, stop=("x",))


def seeds(answers):
    return [[sample.tokens[0] for sample in samples] for samples in answers]


@pytest.mark.parametrize(
    "fault", [status(503), status(500), status(429), status(429, ("Retry-After", "0")), reset, half]
)
def test_retried_samples_are_neither_lost_nor_doubled(fault):
    with Endpoint([fault] * 5) as server, ServerEngine(settings(server)) as engine:
        engine.load(ModelRef("any"))
        answers = engine.generate(requests(12), SAMPLING)
        assert seeds(answers) == [[1000 * i, 1000 * i + 1] for i in range(12)]
        assert len(server.asked) == 12 + 5
        assert sorted(server.answered) == [1000 * i for i in range(12)]
        assert server.most_at_once <= 8


def test_a_silent_server_is_asked_again():
    with Endpoint([hang] * 3) as server:
        with ServerEngine(settings(server, timeout_seconds=1.5)) as engine:
            engine.load(ModelRef("any"))
            answers = engine.generate(requests(4), SAMPLING)
        server.released.set()
        assert seeds(answers) == [[1000 * i, 1000 * i + 1] for i in range(4)]
        assert len(server.asked) >= 4 + 3


def test_what_is_asked_for(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "sesame")
    with Endpoint() as server:
        with ServerEngine(settings(server, api_key_variable="MY_API_KEY")) as engine:
            engine.load(ModelRef("any"))
            assert engine.context_tokens == 64
            engine.generate(requests(1), SAMPLING)
        assert server.keys[0] == "Bearer sesame"
        [asked] = server.asked
    assert asked["prompt"] == [1, 2, 3]
    assert (asked["n"], asked["seed"], asked["stop"]) == (2, 0, ["x"])
    assert asked["max_tokens"] == 61
    assert (asked["top_k"], asked["repetition_penalty"]) == (0, 1.0)


def test_an_exhausted_server_is_one_line_and_what_was_finished_stays(tmp_path):
    problems = [Problem(f"p{n}", f"{n}", "1") for n in range(6)]
    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))

    def verify(pairs):
        return [Verdict.wrong("different") for _ in pairs]

    def run(server, retries):
        with ServerEngine(settings(server, retries=retries, concurrency=1)) as engine:
            engine.load(ModelRef("any"))
            sample = ModelSampler(engine, tokenizer, "raw")
            return collect(problems, sample, verify, SAMPLING, folder=tmp_path, chunk_problems=2)

    with Endpoint([good_once, good_once, good_once, *[status(503)] * 100]) as server:
        with pytest.raises(
            EngineError,
            match=rf"^the server {server.url} gave no answer in 3 tries: .*503 not now$",
        ) as caught:
            run(server, 2)
        assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["part-00000.parquet"]
    with Endpoint() as server:
        rollouts = run(server, 2)
        assert len(server.answered) == 4
    assert rollouts == load_rollouts(tmp_path)
    assert [r.completion.tokens[0] for r in rollouts] == [r.completion.seed for r in rollouts]


def test_engines_tell_what_is_served_and_take_no_second_model(random_model):
    said = []

    class Told(Silent):
        def say(self, line):
            said.append(line)

    model = str(TINY_BASE)
    with (
        Endpoint() as server,
        Engines(settings(server), "raw", Told(), base=ModelRef(model)) as engines,
    ):
        [completion] = engines.sampler(ModelRef(model))(
            [Problem("p", "1", "1")], Sampling(samples=1)
        )
        assert completion.text == str(completion.seed)
        assert said == ["engine: server unknown, which serves fixed"]
        with pytest.raises(EngineError, match="serves fixed and cannot sample"):
            engines.sampler(ModelRef(random_model))


def good_once(handler):
    handler.reply(200, good(handler.server.asked[-1]))


def test_an_absent_server_is_one_line():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    absent = ServerSettings(url=url, retries=1, backoff_seconds=0)
    with pytest.raises(EngineError, match=f"^the server {url} gave no answer in 2 tries: .*onnect"):
        start_engine(absent, ModelRef(str(TINY_BASE)))


def test_a_refusal_is_told_at_once_without_the_key(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "sesame")

    def refuse(handler):
        handler.reply(401, {"error": {"message": "wrong key sesame \x1b[31m"}})

    with Endpoint([refuse]) as server:
        with ServerEngine(settings(server, api_key_variable="MY_API_KEY")) as engine:
            engine.load(ModelRef("any"))
            with pytest.raises(
                EngineError, match=r"refuses: status 401 wrong key \*\*\* "
            ) as caught:
                engine.generate(requests(1), SAMPLING)
        assert "\x1b" not in str(caught.value)
        assert len(server.asked) == 1
    monkeypatch.delenv("MY_API_KEY")
    with pytest.raises(EngineError, match="environment variable MY_API_KEY is not set"):
        ServerEngine(settings(server, api_key_variable="MY_API_KEY")).load(ModelRef("any"))


def without(*names):
    def change(answer):
        for choice in answer["choices"]:
            for name in names:
                del choice[name]
        return answer

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("token_ids"), "returns no token ids .* sampler.kind to vllm"),
        (without("logprobs"), "returns no token ids or no log-probabilities"),
        (without("index"), "cannot be read: KeyError"),
        (lambda answer: {"choices": answer["choices"][:1]}, "returned no 2 samples"),
        (lambda answer: ["?"], "returned no 2 samples"),
    ],
)
def test_an_answer_without_ids_or_log_probabilities_is_refused(change, message):
    with Endpoint(change=change) as server, ServerEngine(settings(server)) as engine:
        engine.load(ModelRef("any"))
        with pytest.raises(EngineError, match=message):
            engine.generate(requests(1), SAMPLING)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url": "ftp://host"}, "no address of a server"),
        ({"url": "http://user:secret@host/v1"}, "without user"),
        ({"url": "http://host", "api_key_variable": "HF_TOKEN"}, "api_key_variable"),
        ({"url": "http://host", "api_key": "sesame"}, "api_key"),
    ],
)
def test_settings_hold_no_secret_and_name_no_other(given, message):
    with pytest.raises(ValueError, match=message):
        ServerSettings(**given)


def test_results_depend_on_the_model_alone():
    one = ServerSettings(url="http://one", concurrency=3)
    other = ServerSettings(url="https://other/v1/", retries=0)
    assert one.url == "http://one/v1"
    assert other.url == "https://other/v1"
    assert one.result_settings == other.result_settings
    assert one.result_settings != ServerSettings(url="http://one", model="x").result_settings
