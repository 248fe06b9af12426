"""The entries of `make bench` that fill: rows of benchmarks/fill.py."""

from collections.abc import Sequence

from benchmarks.ratios.figures import EARLIER, Entry, Figure, of_filling

MODELS = ("EfficientNet-B0", "EfficientNet Lite0", "ResNet-50", "MobileCLIP2-S0")


def _filling(name: str, rows: Sequence[int], seconds: float, figures: Sequence[Figure]) -> Entry:
    """Return an entry of some rows of benchmarks/fill.py: one that has no time left takes no other's figures with it."""
    return Entry(
        name,
        (
            *("benchmarks/fill.py", "--base", "{base}", "--json", "{json}", "--only"),
            *map(str, rows),
            *("--share", "0.1", "--rows", "20000", "--no-large"),
        ),
        seconds,
        tuple(figures),
        of_filling,
        ("faiss", "onnxruntime"),
    )


FILLING = (
    _filling(
        "runtimes",
        (3, 4),
        420,
        (
            *(
                Figure(f"3.{place}", f"{name}, prepared pictures/s in fp32", EARLIER, target, False)
                for place, (name, target) in enumerate(zip(MODELS, (3.5, 3.5, 2, 1.4), strict=True), 1)
            ),
            Figure("4.1", "ViT-B-32, prepared pictures/s in fp32", EARLIER, 1.15, False),
            Figure("4.2", "ViT-B-32, prepared pictures/s in int8", f"{EARLIER} in bf16", 1.7, False),
        ),
    ),
    _filling(
        "pipeline",
        (5, 6),
        420,
        (
            *(
                Figure(f"5.{place}", f"model and decoder alone, {what}", "the whole fill's processor time", 0.92, False)
                for place, what in enumerate(
                    ("demo, small", "demo, 12 megapixels", "ViT-B-32, small", "EfficientNet Lite0, small"), 1
                )
            ),
            Figure("6.1", "two processes, decoding most of it", "one", 1.8, False),
            Figure("6.2", "two processes, the model most of it", "one", 0.97, False),
        ),
    ),
    _filling(
        "writing",
        (7, 8),
        240,
        (
            Figure("7.1", "rows/s written by a worker", "binary COPY of the same rows", 0.6, False),
            Figure("7.2", "time of a refill of rows with an index, dropped and built anew", "inserting them row by row", 0.25),
            Figure("8.1", "time a row at the end of 20,000", "at their beginning", 1.15),
            Figure("8.2", "the worker's memory there", "at their beginning", 1.1),
        ),
    ),
    _filling(
        "start",
        (9,),
        180,
        (
            Figure("9.1", "start to the first row, ViT-B-32 in fp32", EARLIER, 0.5),
            Figure("9.2", "most memory meanwhile", EARLIER, 0.6),
            Figure("9.3", "start to the first row at automatic precision", EARLIER, 0.5),
            Figure("9.4", "most memory meanwhile", EARLIER, 0.6),
        ),
    ),
    _filling(
        "usual-loop",
        (1,),
        600,
        (
            Figure("1.1", "ViT-B-32 in fp32, JPEGs of 1600 x 1200, images/s", "the usual loop", 1.5, False),
            Figure("1.2", "the same at automatic precision", "the usual loop", 3.5, False),
        ),
    ),
)  # fmt: skip
