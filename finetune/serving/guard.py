"""The door of the server: own hosts and pages only, a token where one is asked for, safe headers.

A page of another site may send requests to this machine, and by a name that it makes point here
(DNS rebinding) may read the answers. Names and origins that are not ours are turned away.
"""

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse

from finetune.serving.settings import LOOPBACK_NAMES, ServeSettings, is_loopback

HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Headers of every answer: nothing is kept, nothing is loaded from elsewhere, nobody frames it."""

_GUARDED = "/api/"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(NamedTuple):
    """Reason to turn a request away."""

    status: int
    """Of HTTP."""
    reason: str
    """A sentence."""


class Guard:
    """An ASGI application before another one, which turns away what must not reach it."""

    def __init__(self, app: App, settings: ServeSettings) -> None:
        """Stand before `app`."""
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal; headers are added to every answer."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                kept = [pair for pair in message["headers"] if pair[0].decode() not in HEADERS]
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        refusal = refuse_request(scope, self._settings)
        if refusal is None:
            await self._app(scope, receive, send_safely)
            return
        headers = {"www-authenticate": "Bearer"} if refusal.status == 401 else None
        answer = JSONResponse({"error": refusal.reason}, refusal.status, headers)
        await answer(scope, receive, send_safely)


def refuse_request(scope: Scope, settings: ServeSettings) -> Refusal | None:
    """Return the reason to turn a request away; None of one that may pass."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        if key in headers and key in ("host", "origin", "authorization"):
            return Refusal(400, f"The request has two headers {key}.")
        headers[key] = value.decode("latin-1")
    host = headers.get("host", "")
    if not is_own_host(host, settings):
        return Refusal(421, "The request names a host that is not this server's.")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"{scope['scheme']}://{host}".lower():
        return Refusal(403, "The request comes from a page of another site.")
    foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if foreign and headers.get("sec-fetch-mode") != "navigate":
        return Refusal(403, "The request comes from a page of another site.")
    wanted = scope["path"].startswith(_GUARDED)
    if wanted and settings.token and not _brings_token(headers, settings.token):
        return Refusal(401, "The request lacks the token: Authorization: Bearer TOKEN.")
    return None


def is_own_host(host: str, settings: ServeSettings) -> bool:
    """Tell whether a header Host names this server; an address of numbers cannot be rebound."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in LOOPBACK_NAMES:
        return True
    if is_loopback(settings.host):
        return is_loopback(name)
    return name in (settings.host.lower(), socket.gethostname().lower()) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _brings_token(headers: Mapping[str, str], token: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    return same and scheme.lower() == "bearer"
