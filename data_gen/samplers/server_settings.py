"""The settings of a server that samples for us."""

from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from data_gen.samplers.settings import EngineSettings


class ServerSettings(EngineSettings):
    """A server that holds the model: vLLM's, in another process or on another machine."""

    no_matter_to_results: ClassVar[frozenset[str]] = frozenset(
        {
            "url",
            "api_key_variable",
            "concurrency",
            "retries",
            "backoff_seconds",
            "timeout_seconds",
        }
    )

    kind: Literal["server"] = "server"
    url: str = Field(description="its address, such as http://127.0.0.1:8000/v1")
    model: str | None = Field(
        default=None, description="the name that the server gives the model; None: its first"
    )
    # Only such names: a settings file must not be able to send any secret to any address.
    api_key_variable: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Z0-9_]*_API_KEY$",
        description="environment variable that holds the key; None: no key is sent",
    )
    context_tokens: int | None = Field(
        default=None, ge=1, description="longest prompt and completion; None: as the server says"
    )
    concurrency: int = Field(default=64, ge=1, le=4096, description="problems asked for at once")
    retries: int = Field(default=8, ge=0, le=100, description="further tries of a failed request")
    backoff_seconds: float = Field(
        default=0.5, ge=0, le=60, description="first pause between two tries; it doubles"
    )
    timeout_seconds: float = Field(
        default=1800, gt=0, le=86400, description="longest wait for one problem's samples"
    )

    @field_validator("url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("this is no address of a server: http://host:port/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("an address without user, password, query and fragment is needed")
        return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"
