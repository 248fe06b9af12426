"""Only who was told the address may see the pages: a token in it, then a cookie. Ports of loopback are open to every user."""

import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from flask import Flask, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import SecurityError


def new_token() -> str:
    """Return a token that nobody guesses: 192 bits."""
    return secrets.token_urlsafe(24)


def require_token(app: Flask, token: str) -> None:
    """Answer 403 to every request that has neither ?token= nor the cookie that is given for it.

    The token leaves the address at once, so that it stands in no bookmark and no picture of the screen. The cookie is the
    process's own: after a restart the new address is needed.
    """
    # Two that run at once have one host, so one jar of cookies.
    name = f"imgvec_browse_{hashlib.sha256(token.encode()).hexdigest()[:12]}"
    admitted = secrets.token_urlsafe(24)

    @app.before_request
    def check() -> ResponseReturnValue | None:
        if isinstance(request.routing_exception, SecurityError):
            # By another host's name, which is refused as that.
            return None
        if _is_static(request.endpoint) or _is_same(request.cookies.get(name, ""), admitted):
            return None
        given = request.args.get("token")
        if given is None or not _is_same(given, token):
            return render_template("pages/no_token.html", is_wrong=given is not None), 403
        rest = [(key, value) for key, value in request.args.items(multi=True) if key != "token"]
        answer = make_response(redirect(_address(rest), 303))
        # Lax: a click on the address elsewhere, in a chat say, is a first visit too.
        answer.set_cookie(name, admitted, httponly=True, samesite="Lax")
        return answer


def _is_static(endpoint: str | None) -> bool:
    """Whether it gives a file of the package, which shows nothing of the database."""
    return endpoint is not None and endpoint.rpartition(".")[2] == "static"


def _is_same(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _address(arguments: list[tuple[str, str]]) -> str:
    return f"{request.path}?{urlencode(arguments)}" if arguments else request.path
