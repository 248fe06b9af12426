"""`make bench`: entries as real processes, their verdicts, the history and the page that is made from it."""

import json
import os
import time
from pathlib import Path

import pytest

from benchmarks.ratios import entries as kept
from benchmarks.ratios.__main__ import main
from benchmarks.ratios.figures import MISSED, NOT_RUN, REACHED, Entry, Figure, of_filling, of_targets
from benchmarks.ratios.history import Run, append, read_history
from benchmarks.ratios.run_entries import ROOT, run_entries
from benchmarks.ratios.steadiness import loop_seconds, varied
from tools.docs import benchmarks as page

NO_PLACES = {"base": None, "peers": None}
FAST = Figure("fast", "how fast", "the other way", 2.0, at_most=False)
SMALL = Figure("small", "how small", "the other way", 0.5)


def fake(name: str, code: str, *figures: Figure, seconds: float = 300, **given: tuple[str, ...]) -> Entry:
    return Entry(name, ("-c", code, "{json}", *given.pop("more", ())), seconds, figures, **given)  # type: ignore[arg-type]


def writes(figures: dict[str, float], then: str = "") -> str:
    return f"import json, pathlib, sys\npathlib.Path(sys.argv[1]).write_text({json.dumps(figures)!r})\n{then}"


def test_entries_run_one_after_the_other_and_their_figures_are_judged_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = (
        fake("broken", writes({"small": 0.4}, "sys.exit('a table is missing')"), FAST, SMALL),
        fake("whole", writes({"fast": 3.0, "small": 0.7}, "sys.exit(1)"), FAST, SMALL),
    )
    history = tmp_path / "history.jsonl"
    code = main(chosen, ["--machine", "a shop's server", "--history", str(history)])
    told = capsys.readouterr().out
    assert code == 1
    assert "1 of 2 figures are missing: ended with 1: a table is missing" in told
    assert "4 figures: 2 reached, 1 missed, 1 not run" in told
    (run,) = read_history(history)
    assert run.machine == "a shop's server" and run.base == ""
    assert run.figures == {"broken": {"small": 0.4}, "whole": {"fast": 3.0, "small": 0.7}}
    assert list(run.not_run) == ["broken"]

    monkeypatch.setattr(page, "ENTRIES", chosen)
    monkeypatch.setattr(page, "read_history", lambda: read_history(history))
    rows = [
        line.split(" | ") for line in page.render().splitlines() if line.startswith(("| broken", "| whole"))
    ]
    assert [(row[1], row[4], row[-1]) for row in rows] == [
        ("how fast", "-", "not run |"),
        ("how small", "0.4", "reached |"),
        ("how fast", "3", "reached |"),
        ("how small", "0.7", "missed |"),
    ]


def test_all_reached_is_exit_code_0_and_an_unknown_name_is_2(tmp_path: Path) -> None:
    chosen = (fake("whole", writes({"fast": 2.0}), FAST),)
    history = ["--history", str(tmp_path / "history.jsonl")]
    assert main(chosen, history) == 0
    assert main(chosen, [*history, "--only", "hole"]) == 2
    (run,) = read_history(tmp_path / "history.jsonl")
    assert run.speed_varied is not None and 0 <= run.speed_varied < 100


def test_speed_varied_by_how_much_longer_the_slowest_loop_took() -> None:
    assert varied([0.1, 0.08, 0.1]) == pytest.approx(0.25) and varied([0.1]) == 0
    assert 0 < loop_seconds() < 60


def test_an_entry_that_hangs_is_ended_and_what_one_leaves_behind_too(tmp_path: Path) -> None:
    left = tmp_path / "left"
    leaves = (
        "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])\n"
        f"open({str(left)!r}, 'w').write(str(child.pid))\n"
    )
    hangs = fake("hangs", "import time; time.sleep(3600)", FAST, seconds=1)
    lingers = fake("lingers", writes({"fast": 2.5}, leaves), FAST)
    first, second = run_entries((hangs, lingers), NO_PLACES, time.monotonic() + 600)
    assert first.has_failed and first.reason == "1 of 1 figures are missing: not done within 1 s"
    assert second.verdicts() == [REACHED] and not second.has_failed
    assert has_ended(int(left.read_text()))


def has_ended(process: int) -> bool:
    """Whether a process has ended, waited for by its parent or not yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"modules": ("no_such_module",)}, "not installed: no_such_module"),
        ({"more": ("{base}",)}, "no checkout of the build to compare with"),
        ({"more": ("{peers}",)}, "--peers DIR"),
    ],
)
def test_what_cannot_be_measured_here_is_not_run_and_no_failure(given: dict[str, object], told: str) -> None:
    ends_at = time.monotonic() + 600
    entry = fake("lacking", "raise SystemExit('it ran')", FAST, **given)  # type: ignore[arg-type]
    (outcome,) = run_entries((entry,), NO_PLACES, ends_at)
    assert told in outcome.reason and outcome.verdicts() == [NOT_RUN] and not outcome.has_failed


def test_what_no_time_is_left_for_is_a_failure_and_a_run_without_figures_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.jsonl"
    late = (fake("late", "raise SystemExit('it ran')", FAST),)
    assert main(late, ["--minutes", "0", "--history", str(history)]) == 1
    assert "the time of the whole run was over" in capsys.readouterr().out
    assert not history.exists()


def test_wrong_vectors_miss_each_target_of_filling_however_fast() -> None:
    line = {"row": 1, "ratio": 9.0, "cpu_ratio": 9.0, "is_right": True}
    found = of_filling(
        {"results": [line, {**line, "is_right": False}, {**line, "row": 7, "ratio": None, "cpu_ratio": 0.5}]}
    )
    assert (
        FAST.verdict(found["1.1"]) == REACHED and FAST.verdict(found["1.2"]) == MISSED and found["7.1"] == 0.5
    )
    assert SMALL.verdict(found["1.2"]) == MISSED


def test_targets_that_were_not_measured_are_no_figures() -> None:
    assert of_targets([{"name": "a", "figure": 1.0}, {"name": "b", "figure": None}]) == {"a": 1.0}


def test_the_page_shows_the_newest_figure_of_a_machine_and_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = tmp_path / "history.jsonl"
    for day, machine, figures in (
        (1, "server", {"whole": {"fast": 1.5}}),
        (2, "server", {"whole": {"fast": 2.5, "small": 0.25}}),
        (3, "laptop", {"whole": {"small": 0.75}}),
    ):
        append(
            Run(
                date=f"2026-11-0{day}T10:00+00:00", machine=machine, commit="0123456", base="", load=0.1, seconds=600,
                versions={}, figures=figures,
            ),
            history,
        )  # fmt: skip
    monkeypatch.setattr(page, "ENTRIES", (fake("whole", "", FAST, SMALL),))
    monkeypatch.setattr(page, "read_history", lambda: read_history(history))
    laptop, server = page.render().split("\n## ")[1:]
    assert laptop.startswith("laptop\n") and server.startswith("server\n")
    assert "| whole | how fast | the other way | ≥ 2 | 2.5 | 1.5 | 2026-11-02 | reached |" in server
    assert "| whole | how small | the other way | ≤ 0.5 | 0.75 | - | 2026-11-03 | missed |" in laptop


@pytest.mark.parametrize("entry", kept.ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_names_a_script_and_options_that_it_has(entry: Entry) -> None:
    first, *others = entry.arguments
    script = ROOT / (others[0].replace(".", os.sep) + ".py" if first == "-m" else first)
    text = script.read_text()
    assert not [each for each in others if each.startswith("--") and f'"{each}"' not in text]
    assert len({figure.key for figure in entry.figures}) == len(entry.figures) > 0


def test_names_of_entries_are_words_that_make_can_pass_on() -> None:
    names = [entry.name for entry in kept.ENTRIES]
    assert len(set(names)) == len(names) and all(name.replace("-", "").isalpha() for name in names)


def test_a_figures_name_is_a_targets_of_the_script_that_gives_it() -> None:
    """Of scripts whose figures are `Target`s: their names stand in the source, but for what is filled in."""
    sources = [
        ROOT / "benchmarks" / name for name in ("orm.py", "searching/overhead.py", "searching/grid.py")
    ]
    text = "".join(path.read_text() for path in sources)
    filled = [("near() by words", "near() by {name}"), ("near() by a vector", "near() by {name}")]
    filled += [(f"{form}, 10,000 x 512: ", "{name}, {size}: ") for form in ("search_*", "search()")]
    for entry in kept.ENTRIES:
        for figure in entry.figures if entry.read is of_targets else ():
            key = figure.key
            for shown, written in filled:
                key = key.replace(shown, written)
            assert key in text, figure.key
