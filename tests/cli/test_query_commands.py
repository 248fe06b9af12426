"""recommend, classify, matrix, fuse, page, calibrate and combined searches from the command line."""

import csv
import io
import json
from collections.abc import Callable

import pytest
from colorshop import COLORS, embed_row, embedding, make_shop, request
from imgvec_test_embedder import ColorGrid

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection

Ask = Callable[..., str]
RED, YELLOW, GREEN, CYAN, BLUE, MAGENTA, WHITE, BLACK = range(1, 9)


@pytest.fixture
def shop(connection: Connection) -> Collection:
    """Give the shop of one-coloured pictures; the ids are RED to BLACK."""
    collection = make_shop(connection)
    connection.execute("UPDATE imgvec.model SET logit_scale = %s", [ColorGrid.logit_scale])
    return collection


@pytest.fixture
def ask(
    shop: Collection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Run a command and return what it printed."""
    monkeypatch.setenv("IMGVEC_DSN", database)

    def answer(*arguments: str, code: int = 0, err: str = "") -> str:
        found = run(cli, arguments)
        said = capsys.readouterr()
        assert found == code, said.err
        assert err in said.err and (bool(err) or not said.err), said.err
        return said.out

    return answer


def keys(output: str) -> list[int]:
    return [row["key"]["id"] for row in json.loads(output)]


def test_recommend_leaves_out_what_is_known_and_keeps_to_the_condition(ask: Ask) -> None:
    found = ask("recommend", "--liked", f"{RED},{MAGENTA}", "--json", "-k", "2")
    # Between red and magenta: blue and yellow share a channel less with either than white and black do.
    assert set(keys(found)).isdisjoint({RED, MAGENTA})
    everything = keys(ask("recommend", "--liked", str(RED), "--disliked", str(YELLOW), "--json"))
    assert len(everything) == len(COLORS) - 2
    assert everything[0] in (MAGENTA, BLACK) and everything[-1] == CYAN
    cheap = keys(ask("recommend", "--liked", str(RED), "--where", "price < 45", "--json"))
    assert cheap == [YELLOW, GREEN, CYAN]


def test_disliked_rows_lead_away(ask: Ask) -> None:
    alike = ("recommend", "--liked", str(RED), "--where", f"id IN ({YELLOW}, {MAGENTA})", "--json")
    assert keys(ask(*alike)) == [YELLOW, MAGENTA]
    assert keys(ask(*alike, "--disliked", str(GREEN))) == [MAGENTA, YELLOW]


def test_mean_of_a_condition_is_asked_with(ask: Ask) -> None:
    found = ask(
        "recommend", "--mean-of", "name LIKE 'red%' OR name LIKE 'magenta%'", "--columns", "name", "-k", "2"
    )
    assert [line.split("\t")[1] for line in found.splitlines()[1:]] == [str(RED), str(MAGENTA)]


def test_classify_gives_the_best_label_and_all_probabilities(ask: Ask) -> None:
    found = json.loads(ask("classify", "--labels", "red, cyan", "--columns", "name", "--json"))
    assert [row["label"] for row in found[:5:4]] == ["red", "cyan"]
    # Distances 0 and 2 are similarities 1 and -1, times the scale of 10.
    assert found[0]["probabilities"]["red"] == pytest.approx(1 / (1 + 2.718281828**-20))
    assert found[0]["columns"] == {"name": "red <shoe>"}
    table = ask("classify", "--labels", "red,cyan", "--columns", "", "--limit", "2", err="the first 2 rows")
    assert table.splitlines() == ["label\tprobability\tid", "red\t1.000\t1", "red\t0.999\t2"]


def test_classify_caches_the_labels_for_sql(ask: Ask, connection: Connection) -> None:
    ask("classify", "--labels", "red,cyan", "--json")
    found = connection.execute(
        "SELECT label FROM imgvec.classify_product_color(ARRAY['red', 'cyan'], ARRAY[%s]) WHERE rank = 1",
        [BLUE],
    )
    assert found.fetchall() == [("cyan",)]


def test_matrix_prints_a_table_json_and_csv(ask: Ask) -> None:
    assert ask("matrix", f"{RED},{CYAN}", str(YELLOW)).splitlines() == [
        "\t1\t4\t2",
        "1\t1.000\t-1.000\t0.333",
        "4\t-1.000\t1.000\t-0.333",
        "2\t0.333\t-0.333\t1.000",
    ]
    as_csv = list(csv.reader(io.StringIO(ask("matrix", "1,4", "--csv"))))
    assert (as_csv[0], as_csv[1][0], float(as_csv[1][2])) == (
        ["", "1", "4"],
        "1",
        pytest.approx(-1, abs=1e-3),
    )
    as_json = json.loads(ask("matrix", "1,4", "--json"))
    assert as_json["keys"] == [{"id": 1}, {"id": 4}]
    assert as_json["similarities"][0] == pytest.approx([1, -1], abs=1e-3)


def test_search_adds_words_and_takes_them_away(ask: Ask) -> None:
    # Channels as signs: red +--, white +++, so red + 1.5 white is 2.5, 0.5, 0.5.
    assert keys(ask("search", "red", "--plus", "1.5", "white", "-k", "1", "--json")) == [WHITE]
    # Yellow ++- less 1.5 lime -+- is 2.5, -0.5, 0.5: magenta's signs.
    less = ("search", "--like", str(YELLOW), "--minus", "1.5", "lime", "-k", "1", "--json")
    assert keys(ask(*less)) == [MAGENTA]
    weighted = ("search", "red", "--weight", "0.1", "--plus", "0.9", "cyan", "-k", "1", "--json")
    assert keys(ask(*weighted)) == [CYAN]


def test_a_row_with_words_added_is_not_in_its_own_answer(ask: Ask) -> None:
    found = keys(ask("search", "--like", str(RED), "--plus", "0.01", "lime", "-k", "8", "--json"))
    assert len(found) == len(COLORS) - 1 and RED not in found


@pytest.fixture
def halves(connection: Connection, shop: Collection) -> Collection:
    """Make a second collection of the same table in which cyan is the nearest to red, and blue is missing."""
    second = create_collection(connection, request("product_half"))
    for number, color in enumerate(COLORS, 1):
        if number != BLUE:
            seen = "red" if number == CYAN else color
            embed_row(connection, second, [number], embedding(seen))
    return second


@pytest.mark.usefixtures("halves")
def test_fuse_ranks_by_both_collections(ask: Ask) -> None:
    found = json.loads(ask("fuse", "red", "--collections", "product_color,product_half", "--json"))
    assert len(found) == len(COLORS)
    assert (found[0]["key"], found[0]["ranks"]) == ({"id": RED}, {"product_color": 1, "product_half": 1})
    by_key = {row["key"]["id"]: row for row in found}
    assert by_key[CYAN]["ranks"] == {"product_color": 8, "product_half": 2}
    assert by_key[BLUE]["ranks"]["product_half"] is None
    for row in found:
        expected = sum(1 / (60 + rank) for rank in row["ranks"].values() if rank)
        assert row["score"] == pytest.approx(expected)
    table = ask("fuse", "red", "--collections", "product_color,product_half", "-k", "1", "--columns", "name")
    assert table.splitlines() == [
        "score\tproduct_color\tproduct_half\tid\tname",
        "0.03279\t1\t1\t1\tred <shoe>",
    ]


def test_pages_follow_each_other(ask: Ask) -> None:
    seen: list[int] = []
    after: tuple[str, ...] = ()
    # Four colours at distance 2/3 and 4/3 each share their distance: the key decides.
    for _ in range(3):
        page = json.loads(ask("page", "red", "-k", "3", "--columns", "", "--json", *after))
        seen += [row["key"]["id"] for row in page["rows"]]
        after = ("--after", page["after"] or "")
    assert after == ("--after", "")
    assert seen == [RED, YELLOW, MAGENTA, BLACK, GREEN, BLUE, WHITE, CYAN]
    where = json.loads(ask("page", "red", "--where", "price > 55", "--json"))
    assert [row["key"]["id"] for row in where["rows"]] == [MAGENTA, BLACK, WHITE]


def test_page_of_a_deleted_row_still_goes_on(ask: Ask, connection: Connection) -> None:
    page = json.loads(ask("page", "--like", str(RED), "-k", "2", "--json"))
    connection.execute("DELETE FROM shop.product WHERE id = %s", [page["rows"][-1]["key"]["id"]])
    rest = json.loads(ask("page", "--like", str(RED), "-k", "2", "--after", page["after"], "--json"))
    assert [row["key"]["id"] for row in rest["rows"]] == [MAGENTA, BLACK]


def test_calibrate_measures_all_pairs_of_a_small_collection(ask: Ask, connection: Connection) -> None:
    table = ask("calibrate", "product_color", err="fewer than 20 texts are cached")
    assert "measured on 28 pairs of rows" in table
    # 12 of 28 pairs differ in one channel, 12 in two, 4 in all three.
    percentiles = "SELECT imgvec.percentile('product_color', %s), imgvec.distance_at('product_color', %s)"
    for distance, expected in ((0.5, 0), (0.7, 42), (1.4, 85), (2.0, 100)):
        found = connection.execute(percentiles, [distance, expected]).fetchone()
        assert found is not None
        assert found[0] == pytest.approx(expected, abs=1.5)
    assert keys(ask("search", "--like", str(RED), "--max-percentile", "42", "--json")) == [
        YELLOW,
        MAGENTA,
        BLACK,
    ]


def test_calibrate_measures_words_where_there_are_some(
    ask: Ask, connection: Connection, shop: Collection
) -> None:
    for number in range(20):
        connection.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)",
            [shop.model_id, f"text {number}", str(embedding("red").tolist())],
        )
    found = json.loads(ask("calibrate", "--json"))
    assert [(one["pairs_of"], one["pair_count"]) for one in found] == [("rows", 28), ("words", 160)]
    assert found[1]["distances"][0] == pytest.approx(0, abs=1e-3)
    assert keys(ask("search", "red", "--max-percentile", "40", "--json")) == [RED, YELLOW, MAGENTA, BLACK]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["recommend"], 2, "expected either --liked KEYS or --mean-of SQL"),
        (
            ["recommend", "--liked", "1", "--mean-of", "true"],
            2,
            "expected either --liked KEYS or --mean-of SQL",
        ),
        (["recommend", "--liked", "99"], 1, "has no row 99"),
        (["recommend", "--liked", "x"], 2, "cannot be a key"),
        (["recommend", "--liked", "1,4"], 1, "cancel each other out"),
        (["recommend", "--liked", "1", "--disliked-weight", "2"], 1, "is 2; expected 0 to 1"),
        (["recommend", "--mean-of", "price >"], 2, "does not take the condition"),
        (["recommend", "--mean-of", "false) or (true"], 2, "does not take the condition"),
        (["recommend", "--mean-of", " "], 2, "the condition is empty"),
        (["recommend", "--mean-of", "price < 0"], 1, "no embedded row"),
        (["recommend", "--liked", "1", "-k", "0"], 2, "k is 0"),
        (["recommend", "--liked", "1", "-k", "10000"], 2, "expected 10000 together at most"),
        (["classify", "--labels", "red"], 2, "there are 1 labels; expected 2 to 1000"),
        (["classify", "--labels", "red,red"], 2, "a label was given twice"),
        (["classify", "--labels", "red,,blue"], 2, "words are empty"),
        (["classify", "--labels", "red,blue", "--where", "nope"], 2, 'column "nope" does not exist'),
        (["matrix", "1,99"], 1, "has no row 99"),
        (["matrix", "1", "--csv", "--json"], 2, "expected one of them"),
        (["matrix"], 2, "expected either KEYS or --where SQL"),
        (["matrix", "1", "--where", "true"], 2, "expected either KEYS or --where SQL"),
        (["matrix", "1", "--limit", "3"], 2, "without --where"),
        (["matrix", "--where", "false) or (true"], 2, "does not take the condition"),
        (["matrix", "--where", "price < 0"], 0, "no embedded row matches"),
        (["matrix", "1,4", "--html", "/nowhere/a.html"], 2, "cannot write /nowhere/a.html"),
        (["search", "red", "--weight", "0.5"], 2, "--weight was given alone"),
        (["search", "red", "--plus", "-1", "blue"], 2, "a weight is -1; expected above 0"),
        (["search", "red", "--minus", "1", "red"], 1, "cancel each other out"),
        (["search", "red", "--max-percentile", "1"], 1, "Run: imgvec calibrate product_color"),
        (["search", "red", "--max-percentile", "1", "--max-distance", "1"], 2, "expected one of them"),
        (["fuse", "red", "--collections", "product_color"], 2, "expected two names"),
        (["fuse", "red", "--collections", "product_color,product_color"], 2, "was named twice"),
        (["fuse", "red", "--collections", "product_color,nope"], 1, 'collection "nope" does not exist'),
        (["page", "red", "--after", "7"], 2, "expected what the page before ended with"),
        (["page", "red", "--after", '{"distance": 1, "key": {"nr": 1}}'], 2, "expected what the page before"),
        (["page", "red", "--after", '{"distance": 1, "key": {"id": "x"}}'], 1, "invalid input syntax"),
        (["page", "red", "--where", "false) or (true"], 2, "does not take the condition"),
        (["page"], 2, "nothing to search for"),
        (["calibrate", "--sample", "1"], 2, "expected 2 to 5000"),
    ],
)
def test_bad_input_is_one_line(ask: Ask, arguments: list[str], code: int, message: str) -> None:
    assert ask(*arguments, code=code, err=message) == ""


def test_calibrate_without_embeddings_says_backfill(ask: Ask, connection: Connection) -> None:
    connection.execute("DELETE FROM imgvec.product_color_embedding WHERE id > 1")
    ask("calibrate", code=1, err="run: imgvec backfill product_color")


def test_fuse_refuses_collections_of_different_tables(ask: Ask, connection: Connection) -> None:
    connection.execute("CREATE TABLE shop.other (id int PRIMARY KEY, picture bytea)")
    create_collection(connection, request("other", "shop.other"))
    ask(
        "fuse",
        "red",
        "--collections",
        "product_color,other",
        code=2,
        err="expected two collections of one table",
    )


def test_classify_without_a_known_scale_says_backfill(ask: Ask, connection: Connection) -> None:
    connection.execute("UPDATE imgvec.model SET logit_scale = NULL")
    ask("classify", "--labels", "red,blue", code=1, err="imgvec backfill product_color")
