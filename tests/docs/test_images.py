"""docs/howto/images.md: its command and its SQL are run, its limits are the code's."""

from pageblocks import DOCS, example, read_blocks, shell_commands

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.images import limits
from imgvec_pg.images.decoding.codecs import codec_registry, scene_light, tiff_samples
from imgvec_pg.images.fetching import http_client
from imgvec_pg.store.registry import get_collection

PAGE = DOCS / "howto" / "images.md"


def test_the_command_makes_a_collection_of_urls_and_the_sql_changes_it(
    connection: Connection, database: str
) -> None:
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.product (id int PRIMARY KEY, photo_url text)")
    command, statement = read_blocks(PAGE)
    [line] = shell_commands(command)
    words = line.replace("'", "").replace("ViT-B-32/laion2b_s34b_b79k", "color-grid").split()
    with example(command):
        assert run(cli, [*words[1:], "--dsn", database]) == 0
    assert get_collection(connection).url_prefixes == [
        "https://images.example.com/products",
        "https://*.cdn.example.com",
        "s3://shop-photos",
    ]
    with example(statement):
        connection.execute(statement.text.encode())
    assert get_collection(connection).url_prefixes == ["https://images.example.com"]


def test_the_formats_page_names_every_extra_and_its_figures_are_the_code_s() -> None:
    text = (DOCS / "howto" / "formats.md").read_text()
    for codec in (
        *codec_registry.CODECS.values(),
        codec_registry.TIFF,
        codec_registry.RAW,
        codec_registry.JPEG_VARIANTS,
    ):
        assert codec.extra is None or f"| `{codec.extra}`" in text, codec
    for words in (
        f"more than {tiff_samples.MAX_SEGMENT_BYTES // 1024**2} MiB",
        f"{scene_light.PEAK_PERCENTILE}th percentile",
        f"below {scene_light.DARKEST_PEAK}",
        f"e = {scene_light.KEY} /",
    ):
        assert words in text, words


def test_the_limits_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    for words in (
        f"{limits.MAX_IMAGE_BYTES // 1024**2} MiB",
        f"{limits.MAX_PIXELS // 10**6} million pixels",
        f"at most {limits.MAX_ASPECT} times",
        f"{limits.DECODE_MEMORY_BYTES // 1024**3} GiB of address space",
        f"{limits.DECODE_CPU_SECONDS} seconds of computing and {limits.DECODE_SECONDS:.0f} by the clock",
        f"{limits.FETCH_SECONDS:.0f} seconds from the first look",
        f"At most {http_client.MAX_REDIRECTS} redirects",
    ):
        assert words in text, words
