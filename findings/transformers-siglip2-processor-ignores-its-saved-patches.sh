#!/usr/bin/env bash
# transformers 5.24.0 (pillow 13.0.0, numpy 2.4.6), Python 3.11, Linux x86-64.
# A SigLIP 2 NaFlex model saved with max_num_patches 64 in its preprocessor configuration: the image processor cuts a picture into 64
# patches, the processor that holds this very image processor into 256, before saving and after loading. Siglip2Processor has defaults of
# its own for the images (256 patches of 16 pixels) that come before what the image processor was configured with. Expected: 64 from
# both, as the saved file says. A model fine-tuned at another number of patches is fed, without a word, by another one through
# AutoProcessor than through AutoImageProcessor; a larger one is cut down to 256.
#
# Output seen:
#   image processor: 64 patches, processor: 256 patches, processor loaded again: 256 patches (configuration says 64)
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 pillow==13.0.0 numpy==2.4.6
cd "$folder" && HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import json
import sys
from pathlib import Path

from PIL import Image
from transformers import AutoProcessor, Siglip2Processor, Siglip2Tokenizer
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

picture = Image.new("RGB", (500, 300), "red")
own = Siglip2ImageProcessorPil(max_num_patches=64)
both = Siglip2Processor(image_processor=own, tokenizer=Siglip2Tokenizer())
both.save_pretrained("saved")
again = AutoProcessor.from_pretrained("saved")
stated = json.loads(Path("saved/processor_config.json").read_text())["image_processor"]["max_num_patches"]


def patches(processor):
    return processor(images=picture, return_tensors="np")["pixel_values"].shape[1]


counts = patches(own), patches(both), patches(again)
print(
    f"image processor: {counts[0]} patches, processor: {counts[1]} patches, processor loaded again: {counts[2]} patches "
    f"(configuration says {stated})"
)
sys.exit(counts != (64, 256, 256) or stated != 64)
PYTHON
