"""`imgvec demo` as a newcomer meets it: stopped, killed, run, run again, thrown away."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from forked_python import run_forked
from lean_processes import without_transformers

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.demo import place as place_module
from imgvec_pg.demo.pictures import DemoPicture, read_manifest
from imgvec_pg.demo.place import DemoPlace
from imgvec_pg.demo.products import choose_products, make_product
from imgvec_pg.errors import ServerError
from imgvec_pg.search.filters import find_filters
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.registry import get_collection

PROGRAM = [sys.executable, "-m", "imgvec_pg"]
ALL = len(read_manifest()) - 1  # one arrives later


@dataclass(frozen=True)
class Outcome:
    """How a run of the command ended."""

    code: int
    output: str
    errors: str

    def complaints(self) -> list[str]:
        """Return what stderr says besides progress."""
        return [line for line in self.errors.splitlines() if " photos/s, " not in line]

    def section(self, number: int) -> str:
        """Return what was shown of one question."""
        found = re.search(rf"^{number}\. .*?(?=^\d\. |^Done in)", self.output, re.MULTILINE | re.DOTALL)
        assert found is not None, self.output + self.errors
        return found[0]

    def answer(self, number: int) -> list[dict[str, str]]:
        """Return the table of one question."""
        heading, rule, body = re.split(r"^   (─+)\n", self.section(number), maxsplit=1, flags=re.MULTILINE)
        names = heading.rstrip().splitlines()[-1].split()
        rows = [re.split(r"\s{2,}", line.strip()) for line in body.split("\n\n")[0].splitlines()[:-1]]
        assert rule and all(len(row) == len(names) for row in rows)
        return [dict(zip(names, row, strict=True)) for row in rows]


def environment(home: Path) -> dict[str, str]:
    return {**without_transformers(), "IMGVEC_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def run_demo(home: Path, *options: str) -> Outcome:
    """Run the command to its end, where a model's libraries are imported already."""
    done = run_forked(
        ["-m", "imgvec_pg", "demo", *options],
        folder=Path.cwd(),
        environment=environment(home),
        with_models=True,
        warnings_are_errors=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def signal_demo(home: Path, *, at: str, send: signal.Signals) -> Outcome:
    """Start the command as a shell does, and signal its group when a line with `at` is shown."""
    process = subprocess.Popen(
        [*PROGRAM, "demo"],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if at in line:
            break
    os.killpg(process.pid, send)
    rest, errors = process.communicate(timeout=900)
    return Outcome(process.returncode, "".join(shown) + rest, errors)


@dataclass(frozen=True)
class Story:
    """Four runs in one folder, and whether a server was left after the first."""

    home: Path
    interrupted: Outcome
    left_running: bool
    killed: Outcome
    first: Outcome
    second: Outcome

    @property
    def server(self) -> LocalServer:
        return LocalServer(self.home / "demo" / "server")


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    home = make_temporary_directory("imgvec-demo-")
    server = LocalServer(home / "demo" / "server")
    try:
        interrupted = signal_demo(home, at="shop.product", send=signal.SIGINT)
        left_running = server.status().running
        killed = signal_demo(home, at='model "demo"', send=signal.SIGKILL)
        yield Story(home, interrupted, left_running, killed, run_demo(home), run_demo(home))
    finally:
        if server.directory.exists():
            server.stop()
        shutil.rmtree(home)


def test_ctrl_c_is_one_line_and_leaves_nothing_running(story: Story) -> None:
    assert story.interrupted.code == 130
    assert story.interrupted.errors.strip().splitlines() == [
        "imgvec: stopped; imgvec demo goes on from here when it is run again"
    ]
    assert not story.left_running


def test_run_after_a_kill_goes_on_and_says_nothing_of_it(story: Story) -> None:
    assert story.killed.code == -signal.SIGKILL
    assert (story.first.code, story.first.complaints()) == (0, [])
    assert f"{ALL:,} products" in story.first.output
    assert "PostgreSQL 18" in story.first.output and "was running" in story.first.output


def test_all_products_are_embedded_and_indexed(story: Story) -> None:
    with connect(story.server.dsn("shop")) as connection:
        found = connection.execute("SELECT count(*) FROM imgvec.product_demo_embedding").fetchone()
        assert found == (ALL + 1,)
        assert connection.execute("SELECT count(*) FROM imgvec.failures").fetchone() == (0,)
        assert has_valid_index(connection, get_collection(connection, "product_demo"))


def test_browse_has_its_filters_at_once(story: Story) -> None:
    with connect(story.server.dsn("shop")) as connection:
        filters = {
            one.name: one for one in find_filters(connection, get_collection(connection, "product_demo"))
        }
    assert filters["category"].kind == "category" and len(filters["category"].values) == 8
    assert filters["price"].bars


def test_second_run_reuses_what_is_there(story: Story) -> None:
    assert (story.second.code, story.second.complaints()) == (0, [])
    assert "all photos are embedded already" in story.second.output
    assert "HNSW index is there" in story.second.output
    for number in range(1, 6):
        assert names(story.second.answer(number)) == names(story.first.answer(number))


def test_words_find_what_they_name(story: Story) -> None:
    found = story.first.answer(1)
    assert len(found) == 5
    assert sum(row["category"] == "Food & Drink" for row in found) >= 3
    distances = [float(row["distance"]) for row in found]
    assert distances == sorted(distances)


def test_words_with_columns_keep_to_the_conditions(story: Story) -> None:
    found = story.first.answer(2)
    assert len(found) == 4
    stock = in_stock(story)
    assert all(float(row["price"]) < 5 and int(row["days"]) <= 3 and stock[row["name"]] for row in found)


def test_more_like_this_leaves_out_the_product_itself(story: Story) -> None:
    assert "automobile" not in names(story.first.answer(3))
    assert {"racing car", "pickup truck", "oncoming automobile"} & set(names(story.first.answer(3)))


def test_alternatives_are_in_stock_for_what_is_not(story: Story) -> None:
    stock = in_stock(story)
    found = story.first.answer(4)
    assert len(found) == 8
    assert not any(stock[row["sold_out"]] for row in found)
    assert all(stock[row["instead"]] for row in found)


def test_arrival_is_found_within_seconds(story: Story) -> None:
    assert "pineapple" in names(story.first.answer(5))
    assert "INSERT INTO shop.product" in story.first.section(5)
    waited = re.search(r"found (\d+\.\d) s after the INSERT", story.first.output)
    assert waited is not None and float(waited[1]) < 30


def test_sql_as_shown_gives_the_same_answers_in_psql(story: Story) -> None:
    script = (story.home / "demo" / "questions.sql").read_text()
    for statement in re.findall(r"^   ((?:SELECT|WITH).*?;)$", story.first.output, re.MULTILINE | re.DOTALL):
        assert re.sub(r"\n   ", "\n", statement) in script
    answered = run_shell(
        f"{shlex.join(PROGRAM)} server psql --directory {story.server.directory} shop -X -v ON_ERROR_STOP=1",
        feed=rf"\i {story.home}/demo/questions.sql",
    )
    shown = [name for number in range(1, 6) for name in names(story.first.answer(number))]
    assert all(f" {name} " in answered for name in shown)


def test_commands_to_try_next_work_as_printed(story: Story, tmp_path: Path) -> None:
    printed = re.search(r"^Try next.*?\n(.*?)\n\n", story.second.output, re.MULTILINE | re.DOTALL)
    assert printed is not None
    export, words, like, psql = printed[1].splitlines()
    answered = run_shell(
        f"cd {tmp_path}\n{export}\n{words}\n{like}\n{psql} -Atc 'SELECT count(*) FROM shop.product'"
    )
    assert "bullet train" in answered
    assert answered.endswith(f"\n{ALL + 1}\n")
    assert (tmp_path / "more.html").read_text().count("<img") == 11
    assert (story.home / "demo" / "contact-sheet.html").read_text().count("<img") == 10
    stop = story.second.output.splitlines()[-1].strip()
    assert stop == f"{shlex.join(PROGRAM)} server stop --directory {story.server.directory}"


def test_shop_of_another_release_is_one_line_that_names_reset(story: Story) -> None:
    with connect(story.server.dsn("shop")) as connection:
        connection.execute("ALTER TABLE imgvec.collection RENAME COLUMN prompt TO of_another_release")
    outcome = run_demo(story.home)
    assert outcome.code == 1
    [line] = outcome.complaints()
    assert "of an earlier demo does not fit" in line and line.endswith("imgvec demo --reset")


def test_reset_begins_anew_and_no_keep_stops_the_server(story: Story) -> None:
    (story.home / "demo" / "photos" / "mine.txt").write_text("of the old demo")
    outcome = run_demo(story.home, "--reset", "--no-keep", "--products", "150")
    assert (outcome.code, outcome.complaints()) == (0, [])
    assert "150 photos embedded" in outcome.output
    assert "The server is stopped" in outcome.output and "Try next" not in outcome.output
    assert not story.server.status().running
    assert not (story.home / "demo" / "photos" / "mine.txt").exists()


def test_help_says_what_the_model_cannot_do() -> None:
    shown = " ".join(run_shell(f"{shlex.join(PROGRAM)} demo --help").split())
    assert "does not understand photographs" in shown
    assert "--model ViT-B-32/laion2b_s34b_b79k" in shown


def test_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for options in ((), ("--reset",)):
        outcome = run_demo(tmp_path, "--directory", str(tmp_path), *options)
        assert outcome.code == 1
        assert outcome.errors.count("\n") == 1 and "holds other files (thesis.txt" in outcome.errors
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        DemoPlace(tmp_path / "demo").opened(),
        pytest.raises(ServerError, match="another imgvec demo is running"),
        DemoPlace(tmp_path / "demo").opened(),
    ):
        pass


def test_unusable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = run_demo(tmp_path / "file")
    assert outcome.code == 1
    assert outcome.errors.count("\n") == 1 and "choose another --directory" in outcome.errors


def test_full_disk_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000))
    with pytest.raises(ServerError, match=r"needs 200 MB in .* where 5 MB are free"):
        DemoPlace(tmp_path).require_space()


def test_few_products_are_spread_over_all_categories() -> None:
    products = [make_product(number, picture) for number, picture in enumerate(read_manifest(), 1)]
    few = choose_products(products, 200, {"automobile"})
    assert len({product.id for product in few}) == 200
    assert {product.category for product in few} == {product.category for product in products}
    assert "automobile" in {product.name for product in few}


def test_product_of_a_picture_is_always_the_same() -> None:
    picture = DemoPicture("red-apple-1f34e.webp", "red apple", "1F34E", "Food & Drink", "food-fruit", ())
    assert make_product(7, picture) == make_product(7, picture)
    assert make_product(7, picture).price == 4.0


def names(answer: list[dict[str, str]]) -> list[str]:
    return [row.get("name") or row["instead"] for row in answer]


def in_stock(story: Story) -> dict[str, bool]:
    with psycopg.connect(story.server.dsn("shop")) as connection:
        return dict(connection.execute("SELECT name, in_stock FROM shop.product").fetchall())


def run_shell(script: str, feed: str = "") -> str:
    """Run lines in a shell that stops at the first error, and return what they print."""
    outcome = subprocess.run(
        ["sh", "-ec", script],
        input=feed,
        env=without_transformers(),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout
