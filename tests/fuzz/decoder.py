"""The harness for atheris: python tests/fuzz/decoder.py SECONDS FOLDER. FOLDER gets what it finds."""

import sys
from collections import Counter

import atheris

with atheris.instrument_imports(include=["imgvec_pg.images", "PIL"]):
    import imgvec_pg.images.decoding.decode
    import imgvec_pg.images.decoding.header

from judge import check_error, check_image, judge, seeds

from imgvec_pg.errors import ImageError

counts: Counter[str] = Counter()
EVERY = 10
"""Of so many inputs one is sent through the children too."""


def try_one(data: bytes) -> None:
    """Decode within this process, which sees what is covered; a crash here is one that a child would have had."""
    for read in (
        imgvec_pg.images.decoding.header.describe_image,
        imgvec_pg.images.decoding.decode.decode_image,
    ):
        try:
            result = read(data)
        except ImageError as error:
            check_error(error)
            counts[error.code] += 1
            break
        except MemoryError:
            counts["decode_limit"] += 1
            break
        if hasattr(result, "mode"):
            check_image(result)
            counts["decoded"] += 1
    counts["tries"] += 1
    if counts["tries"] % EVERY == 0:
        judge(data, counts)


def main() -> None:
    """Fuzz."""
    seconds = int(sys.argv[1])
    for data in seeds():
        try_one(data)
    corpus = sys.argv[2]
    limits = ["-max_len=20000", "-rss_limit_mb=4096", "-timeout=30", "-verbosity=1"]
    atheris.Setup(
        [sys.argv[0], corpus, f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/", *limits], try_one
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
