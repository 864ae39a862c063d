"""JSON questions to an HTTP server that may be busy, restarting or gone."""

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

from data_gen.samplers.base import EngineError
from data_gen.samplers.server_settings import ServerSettings

if TYPE_CHECKING:
    import httpx

_LONGEST_PAUSE_SECONDS = 60.0
# Too early, too many, and what a server or the proxy before it says while it is not itself.
_TRIED_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Client:
    """Asks one server; used within one event loop.

    Answers of _TRIED_AGAIN, lost connections and silence are tried `retries` times more, after
    pauses that double from `backoff_seconds` to a minute, or are as long as the server asks for.
    `key` is sent and never shown.
    """

    def __init__(self, settings: ServerSettings, key: str | None) -> None:
        import httpx

        self._name = f"the server {settings.url}"
        self._settings = settings
        self._key = key
        self._places = asyncio.Semaphore(settings.concurrency)
        connections = httpx.Limits(max_connections=settings.concurrency)
        try:
            self._http = httpx.AsyncClient(
                headers={} if key is None else {"Authorization": f"Bearer {key}"},
                limits=connections,
                timeout=None,
            )
        # The address of a proxy may hold a password, so nothing of it is shown.
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise EngineError(
                f"{self._name} cannot be asked through the proxy that HTTP_PROXY, HTTPS_PROXY or"
                " ALL_PROXY names: http://host:port is understood"
            ) from error

    async def ask(self, method: str, url: str, body: object = None) -> Any:
        """The server's JSON. Raises EngineError, in one line that names the server."""
        async with self._places:
            for number in range(self._settings.retries + 1):
                answer = await self._try(method, url, body)
                if not isinstance(answer, str) and answer.status_code not in _TRIED_AGAIN:
                    return self._read(answer)
                reason = answer if isinstance(answer, str) else self._refusal(answer)
                if number < self._settings.retries:
                    await asyncio.sleep(self._pause(number, answer))
        raise EngineError(f"{self._name} gave no answer in {number + 1} tries", reason)

    async def close(self) -> None:
        await self._http.aclose()

    async def _try(self, method: str, url: str, body: object) -> "httpx.Response | str":
        """The response, or why there is none."""
        import httpx

        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._http.request(method, url, json=body)
        except TimeoutError:
            return f"no answer within {self._settings.timeout_seconds:g} seconds"
        except httpx.TransportError as error:
            return str(error) or type(error).__name__
        except httpx.InvalidURL as error:
            raise EngineError(f"{self._name} cannot be asked", error) from error

    def _pause(self, number: int, answer: "httpx.Response | str") -> float:
        asked = "" if isinstance(answer, str) else answer.headers.get("retry-after", "")
        if asked.isascii() and asked.isdigit():
            return min(float(asked), _LONGEST_PAUSE_SECONDS)
        # Shortened by chance, so that requests that failed together do not come back together.
        longest: float = min(self._settings.backoff_seconds * 2.0**number, _LONGEST_PAUSE_SECONDS)
        return longest * random.uniform(0.5, 1)

    def _read(self, response: "httpx.Response") -> Any:
        if response.status_code != 200:
            raise EngineError(f"{self._name} refuses", self._refusal(response))
        try:
            return response.json()
        except ValueError as error:
            raise EngineError(
                f"{self._name} does not answer in JSON", self._plain(response.text[:200])
            ) from error

    def _refusal(self, response: "httpx.Response") -> str:
        """The status and what the server says to it."""
        text = response.text
        try:
            said = json.loads(text)
            while isinstance(said, dict) and (inner := said.get("error") or said.get("message")):
                said = inner
            text = said if isinstance(said, str) else text
        except ValueError:
            pass  # what is not JSON is shown as it is
        return self._plain(f"status {response.status_code} {text[:400]}")

    def _plain(self, text: str) -> str:
        """Without the key, which servers like to repeat, and without control characters."""
        text = text.replace(self._key, "***") if self._key else text
        return "".join(letter if letter.isprintable() else " " for letter in text)
