"""docs/howto/models.md: its commands exist, its example is a model, its tables say what the catalogue says."""

import re
import sys
import types
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from pageblocks import DOCS, read_blocks, read_commands, run_python, shell_commands
from PIL import Image

from imgvec_pg.cli.main import cli
from imgvec_pg.embedding import plugins
from imgvec_pg.embedding.catalog import CATALOGUE, describe_model
from imgvec_pg.embedding.golden import compute_golden
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ModelError

PAGE = DOCS / "howto" / "models.md"


def test_its_commands_and_options_exist() -> None:
    commands = [
        command.split()
        for block in read_blocks(PAGE)
        if block.language == ""
        for command in shell_commands(block)
        if command.startswith("imgvec")
    ] + [command.split() for command in read_commands(PAGE)]
    assert len(commands) > 10
    for words in commands:
        command = cli
        names = words[1:]
        while names and hasattr(command, "get_command"):
            found = command.get_command(None, names[0])
            assert found is not None, words
            command, names = found, names[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        assert options.issuperset(word for word in names if word.startswith("--")), words


def test_its_table_is_the_catalogues() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    told = 0
    for _, names, dimensions, gflops in (row for row in rows if len(row) == 4):
        values = zip(
            re.findall(r"`([^`]+)`", names),
            (dimensions.split(", ") * 2),
            (gflops.split(", ") * 2),
            strict=False,
        )
        for name, its_dimensions, its_gflops in values:
            model = CATALOGUE[name]
            assert model.facts is not None
            assert int(its_dimensions.replace(",", "")) == model.dimensions
            assert int(its_gflops) == pytest.approx(model.facts.gflops, abs=0.5)
            told += 1
    assert told == 14


def test_its_example_is_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in read_blocks(PAGE) if block.language == "python"]
    assert len([line for line in block.text.splitlines() if line]) == 10
    module = types.ModuleType("our_package_colours")
    run_python(block, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point = EntryPoint("colours", f"{module.__name__}:load", plugins.ENTRY_POINT_GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group, name: [point] if name == "colours" else [])
    assert describe_model("colours").dimensions == 48
    embedder = load_embedder("colours")
    embedded = embedder.embed_images([Image.new("RGB", (9, 9), "red"), Image.new("RGB", (5, 7), "blue")])
    assert embedded.shape == (2, 48)
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert list(compute_golden(embedder)) == ["image"]
    with pytest.raises(ModelError, match="has no text tower"):
        embedder.embed_texts(["red"])
