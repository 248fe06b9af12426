"""Reading pictures from object stores, through fsspec.

Credentials and endpoints are this machine's: the environment or fsspec's configuration. A row names a key only.
"""

from concurrent.futures import Future
from threading import Thread

from imgvec_pg.errors import ImageError, MissingExtraError
from imgvec_pg.images.fetching.http_connection import HostError
from imgvec_pg.images.fetching.url_rules import Url
from imgvec_pg.images.limits import FETCH_SECONDS

EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


def read_store(url: Url, max_image_bytes: int, seconds: float = FETCH_SECONDS) -> bytes:
    """Return an object's bytes.

    Raises:
        ImageError: `not_found`, `fetch_limit` or `fetch_failed`.
        HostError: The store did not answer in time.
        MissingExtraError: The package for this kind of store is not installed.
    """
    read: Future[bytes] = Future()

    def look() -> None:
        try:
            read.set_result(_read(url, max_image_bytes))
        except BaseException as error:
            read.set_exception(error)

    # Not every store knows a time limit; a thread that waits for it is left behind.
    Thread(target=look, daemon=True, name="imgvec-store").start()
    try:
        data = read.result(seconds)
    except ImportError as error:
        raise MissingExtraError(
            f"{url.scheme} URLs need another package ({error}): pip install 'imgvec-pg[{EXTRAS[url.scheme]}]'"
        ) from error
    except FileNotFoundError as error:
        raise ImageError("not_found", f"{url.shown} does not exist: put it there", transient=True) from error
    except PermissionError as error:
        raise ImageError(
            "fetch_failed", f"{url.shown} may not be read by this machine's credentials"
        ) from error
    except TimeoutError as error:
        raise HostError(
            "fetch_failed", f"{url.shown} did not answer in {seconds:.0f} s", transient=True
        ) from error
    except Exception as error:  # each store has errors of its own
        # Its text may quote a signed request.
        raise ImageError(
            "fetch_failed", f"{url.shown} cannot be read ({type(error).__name__})", transient=True
        ) from error
    if len(data) > max_image_bytes:
        raise ImageError(
            "fetch_limit", f"{url.shown} has more than {max_image_bytes} bytes: store a smaller picture"
        )
    return data


def _read(url: Url, max_image_bytes: int) -> bytes:
    import fsspec

    store = fsspec.filesystem(url.scheme)
    # Asked for by its range, no object is read beyond the limit.
    data: bytes = store.cat_file(f"{url.host}{url.target}", start=0, end=max_image_bytes + 1)
    return data
