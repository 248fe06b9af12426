import hashlib
from pathlib import Path

import pytest
import torch

from imgvec_pg.embedding.load import load_embedder
from tools.demo_model.modelfolder import MERGES_NAME, WEIGHTS_NAME, build_model, encode_tokens, export_model
from tools.demo_model.train import main
from tools.demo_model.trainer import Trainer, TrainingOptions
from tools.demo_model.trainingdata import TrainingData

OPTIONS = TrainingOptions(epochs=4, batch_size=18)


def test_training_lowers_the_losses(few: tuple[TrainingData, Path]) -> None:
    trainer = Trainer(few[0], OPTIONS)
    first, *_, last = (sum(trainer.train_epoch()) for _ in range(OPTIONS.epochs))
    assert last < first


def test_a_stopped_training_continues_to_the_same_weights(
    few: tuple[TrainingData, Path], tmp_path: Path
) -> None:
    straight = Trainer(few[0], OPTIONS)
    straight.train_epoch()
    straight.save(tmp_path / "checkpoint.pt")
    straight.train_epoch()
    resumed = Trainer(few[0], OPTIONS)
    resumed.load(tmp_path / "checkpoint.pt")
    resumed.train_epoch()
    for name, tensor in straight.average.state.items():
        torch.testing.assert_close(resumed.average.state[name], tensor, msg=name)


def test_the_command_trains_continues_and_leaves_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--out", str(tmp_path), "--limit", "40", "--batch-size", "20", "--epochs", "2"]
    monkeypatch.setattr("sys.argv", [*command, "--word-steps", "3", "--merges", "200"])
    main()
    first = capsys.readouterr().out
    main()
    again = capsys.readouterr().out
    assert "epoch 2" in first
    assert "continuing after epoch 2" in again
    assert first.splitlines()[-1] == again.splitlines()[-1]
    assert (tmp_path / "model" / WEIGHTS_NAME).stat().st_size < 8_000_000


def test_a_checkpoint_of_other_options_is_refused(few: tuple[TrainingData, Path], tmp_path: Path) -> None:
    Trainer(few[0], OPTIONS).save(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="use another --out"):
        Trainer(few[0], TrainingOptions(epochs=5, batch_size=18)).load(tmp_path / "checkpoint.pt")


def test_exported_model_loads_like_any_other_and_embeds_the_same(
    few: tuple[TrainingData, Path], tmp_path: Path
) -> None:
    data, folder = few
    torch.manual_seed(1)
    model = build_model(data.tokenizer.vocabulary_size).eval()
    sha256 = export_model(
        model.state_dict(), folder / MERGES_NAME, data.tokenizer.vocabulary_size, tmp_path / "model"
    )
    assert sha256 == hashlib.sha256((tmp_path / "model" / WEIGHTS_NAME).read_bytes()).hexdigest()
    embedder = load_embedder(f"local-dir:{tmp_path / 'model'}", device="cpu", precision="fp32")
    with torch.no_grad():
        ours = encode_tokens(model, torch.tensor([data.tokenizer.encode("red apple")]))[0]
    theirs = torch.from_numpy(embedder.embed_texts(["red apple"])[0])
    assert float(ours @ theirs) > 0.999
