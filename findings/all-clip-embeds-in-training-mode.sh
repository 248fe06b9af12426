#!/usr/bin/env bash
# all-clip 1.3.0, which clip-retrieval 2.45.0 embeds with (open-clip-torch 2.32.0, torch 2.13.0), Python 3.11, Linux x86-64.
# load_clip("open_clip:NAME/WEIGHTS") gives a model in training mode, and nothing puts it into evaluation mode later. Networks
# with batch normalisation (OpenCLIP's RN50 to RN50x64, many of timm's) then normalise each picture by the others of its batch:
# one picture gets other vectors in other company, and shards embedded with another batch size other neighbours.
# Expected: the same vector whatever is beside it, as clip-retrieval's transformers give. Seen: a cosine of about 0.99 with
# seeded weights and noise; 1.000000 once .eval() is called.
# Who imports such vectors should embed some rows again and compare, as `imgvec import` does: of a small network it refused them
# (median cosine 0.91); where the cosines stay above its 0.98 they pass, and are better embedded anew.
#
# Output seen:
#   RN50 is in training mode: True
#   one picture, other neighbours in its batch: vectors the same False
#   the same after .eval(): True
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check all-clip==1.3.0 open-clip-torch==2.32.0 torch==2.13.0 \
  torchvision==0.28.0 'setuptools<81' 'numpy<2' 'transformers<5'
cd "$folder" && "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch

try:
    import torchvision
except RuntimeError:  # PyPI's torchvision beside a CPU-only torch (pytorch/vision #9085)
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import all_clip
import open_clip

torch.manual_seed(0)
torch.save(open_clip.create_model("RN50").state_dict(), "rn50.pt")
model, _, _ = all_clip.load_clip("open_clip:RN50/./rn50.pt", use_jit=False, warmup_batch_size=1)
pictures = torch.randn(5, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def is_same():
    """Whether picture 0 gets one vector beside 1 and beside 2, 3 and 4."""
    with torch.no_grad():
        found = [model.encode_image(pictures[places])[0] for places in ([0, 1], [0, 2, 3, 4])]
    return bool(torch.nn.functional.cosine_similarity(*found, dim=0) > 0.9999)


in_training, same = model.inner_model.training, is_same()
model.eval()
evaluated = is_same()
print(f"RN50 is in training mode: {in_training}\none picture, other neighbours in its batch: vectors the same {same}")
print(f"the same after .eval(): {evaluated}")
sys.exit(not (in_training and not same and evaluated))
PYTHON
