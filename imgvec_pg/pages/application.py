"""Web application of `imgvec browse` and its like: a collection as pages, for this machine."""

from pathlib import Path

from flask import Flask, Response, request, url_for
from flask.typing import ResponseReturnValue

from imgvec_pg.errors import ImageError, ImgvecError
from imgvec_pg.flask.blueprint import FORM_BYTES, jpeg
from imgvec_pg.pages.access_token import require_token
from imgvec_pg.pages.browse.browse_pages import browse_blueprint
from imgvec_pg.pages.error_pages import show_errors
from imgvec_pg.pages.map.map_pages import map_blueprint
from imgvec_pg.pages.model_warm_up import ModelWarmUp
from imgvec_pg.pages.navigation import navigation, register_pages
from imgvec_pg.pages.page_context import PageContext, close_session
from imgvec_pg.pages.review.review_pages import review_blueprint
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES

SMALL_PIXELS = 320
LARGE_PIXELS = 1600
HOSTS = ["127.0.0.1", "localhost", "[::1]"]
POLICY = (
    "default-src 'none'; img-src 'self' blob:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def pages_app(
    dsn: str, token: str, collection: str | None = None, root: Path | None = None, *, warm_model: bool = False
) -> Flask:
    """Make the application.

    It answers to this machine's own names only, as other sites' pages must not read it, and to those only who know the
    token, as other users of the machine must not either.

    Args:
        dsn: libpq connection string.
        token: What the first address that is visited has as ?token=.
        collection: Its name or an alias; None takes the only one there is.
        root: Where this machine keeps the pictures, instead of the collection's root.
        warm_model: Load the model in the background once the first page is asked for.

    Raises:
        CollectionNotFoundError, UsageError: There is none, or several and none is named.
    """
    app = Flask(__name__, static_url_path="/static")
    app.config["TRUSTED_HOSTS"] = HOSTS
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD_BYTES + FORM_BYTES
    require_token(app, token)
    context = app.extensions["imgvec_context"] = PageContext.open(dsn, collection, root)
    app.teardown_appcontext(close_session)
    app.after_request(_protect)
    app.context_processor(lambda: {"navigation": navigation(app), "collection_name": context.name})
    show_errors(app)
    _serve_pictures(app, context)
    warm_up = ModelWarmUp(dsn, context.name) if warm_model else None
    register_pages(app, browse_blueprint(context, warm_up), "Browse")
    register_pages(app, map_blueprint(context), "Map", "/map")
    register_pages(app, review_blueprint(context), "Duplicates", "/review")
    return app


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _serve_pictures(app: Flask, context: PageContext) -> None:
    @app.get("/picture/<path:key>")
    def picture(key: str) -> ResponseReturnValue:
        """Give a row's picture as a JPEG encoded anew, of at most SMALL_PIXELS a side, or with ?large=1 LARGE_PIXELS."""
        pixels = LARGE_PIXELS if "large" in request.args else SMALL_PIXELS
        try:
            return jpeg(context.searchable().picture(context.session(), key, pixels))
        except ImgvecError as error:
            if isinstance(error, ImageError) and "large" not in request.args:
                # A picture that vanished has its place kept in the page, where it is told once.
                return Response(status=404, headers={"X-Imgvec-Missing": error.code})
            raise

    @app.get("/favicon.ico")
    def favicon() -> ResponseReturnValue:
        """Browsers ask for it where a page of theirs, as of an image, names none."""
        return Response(status=302, headers={"Location": url_for("static", filename="icon.svg")})
