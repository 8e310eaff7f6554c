"""`lqtui serve`: the app in a browser, for the person who was given the address."""

from __future__ import annotations

import hmac
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from lqtui.cli import output

try:
    from aiohttp import web
    from textual_serve.server import Server
except ImportError:
    output.fail("`lqtui serve` needs the extra `web`: install lqtui[web]", 1)

MOST_SESSIONS = 4
"""Each is an app of its own, with jobs of its own."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self' {socket}; frame-ancestors 'none'"
)
"""What the page may load: nothing of other hosts, such as the web font that textual-serve's page asks for."""


class OnlyMine(Server):
    """textual-serve's server, for those alone who know the token; it is given by the address.

    Without it any page in the browser, and anybody on the machine, could open the app and with it files.
    """

    def __init__(self, command: str, host: str, port: int, public_url: str | None, token: str) -> None:
        super().__init__(command, host=host, port=port, title="lqtui", public_url=public_url)
        self.public_url = self.public_url.rstrip("/")
        self.address = f"{self.public_url}/?token={token}"
        self._token = token
        self._cookie = f"lqtui-{port}"
        self._sessions = 0

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say where the app is."""
        print(f"lqtui is at {self.address}\nctrl+c ends it.", flush=True)

    def initialize_logging(self) -> None:
        """Leave out the log of every request."""

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        told = request.query.get("token", "")
        if not any(self._is_token(text) for text in (told, request.cookies.get(self._cookie, ""))):
            raise web.HTTPForbidden(text="Open the address that `lqtui serve` printed, with its token.\n")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY.format(
                socket=self.public_url.replace("http", "ws", 1)
            )
            response.headers["Referrer-Policy"] = "no-referrer"
            if told:
                response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
        return response

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Start an app for a page of this server's own, unless there are too many."""
        origin = request.headers.get("Origin")
        if origin is not None and origin != _origin(self.public_url):
            raise web.HTTPForbidden(text=f"{origin} is not where this app is served.\n")
        if self._sessions >= MOST_SESSIONS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_SESSIONS} apps run already; close a page.\n")
        self._sessions += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._sessions -= 1


def serve(model: Path | None, fresh: bool, host: str, port: int, public_url: str | None) -> None:
    """Serve the app until ctrl+c."""
    if model is not None and not model.exists():
        output.fail(f"{model} does not exist")
    if public_url is not None and urlsplit(public_url).scheme not in ("http", "https"):
        output.fail(f"{public_url} is no address of a page; one begins with https://")
    _must_be_free(host, port)
    if host not in _LOOPBACK:
        output.note(
            f"whoever reaches {host}:{port} and sees the token can read and write your files; "
            "without https others on the way can see it"
        )
    named = [] if model is None else [str(model.absolute())]
    command = shlex.join([sys.executable, "-m", "lqtui", *named, *(["--fresh"] if fresh else [])])
    OnlyMine(f"exec {command}", host, port, public_url, secrets.token_urlsafe(16)).serve()


def _must_be_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        output.fail(
            f"{host}:{port} cannot be served: {error.strerror or error}; choose another with --port", 1
        )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
