"""Secrets taken out of what is printed and written."""

import os
import re

_SECRET_NAME = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD)$")
# Shorter ones are words like "none", which texts hold by chance.
_SHORTEST = 8
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/?#\s@'\"]+(?=@)")


def redacted(text: str) -> str:
    """The text without values of secret environment variables and users in addresses.

    Secret is a variable whose name ends in TOKEN, KEY, SECRET or PASSWORD; the user and password of
    `http://user:password@host`, as proxies have them, are left out wherever they come from.
    """
    named = {value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper())}
    for value in sorted(named, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, "[secret]")
    return _USER_IN_ADDRESS.sub("[secret]", text)


def holds_user(text: str) -> bool:
    """Whether an address with a user or password stands in the text."""
    return _USER_IN_ADDRESS.search(text) is not None
