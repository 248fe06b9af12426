"""Catalogue of recommended models, with facts for choosing one. Importing this module imports no torch.

Dimensions, sizes and preprocessing are as open-clip-torch 3.3 (src/open_clip/pretrained.py, model_configs) and timm 1.0
(each model's pretrained_cfg) publish them; a test compares. GFLOP and parameters are counted by benchmarks/models.py on
these networks. Licences are those of the weights, as their cards on the Hugging Face hub and timm's pretrained_cfg
say; Apple's, and Meta's of DINOv3 and MetaCLIP 2, restrict what the weights may be used for: read them first.
"""

from imgvec_pg.embedding.description import ModelDescription, ModelFacts, Preprocessing
from imgvec_pg.embedding.timm_names import timm_description

# open-clip-torch 3.3 src/open_clip/constants.py: OPENAI_DATASET_MEAN, INCEPTION_MEAN
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
OPENAI = Preprocessing(_OPENAI_MEAN, _OPENAI_STD)
OPENAI_SQUASHED = Preprocessing(_OPENAI_MEAN, _OPENAI_STD, resize_mode="squash")
LAION_L = Preprocessing(_HALF, _HALF)
SIGLIP = Preprocessing(_HALF, _HALF, resize_mode="squash")
PERCEPTION = Preprocessing(_HALF, _HALF, interpolation="bilinear", resize_mode="squash")
MOBILE = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), interpolation="bilinear")
# timm 1.0 src/timm/data/constants.py: IMAGENET_DEFAULT_MEAN
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_APPLE = "Apple's own: read the model's card"
_DINOV3 = "Meta's own: read the model's card"


def _clip(
    name: str,
    dimensions: int,
    pixels: int,
    preprocessing: Preprocessing,
    hub: str,
    facts: ModelFacts,
    scoring: str = "softmax",
) -> ModelDescription:
    architecture, _, pretrained = name.partition("/")
    return ModelDescription(
        name=name,
        architecture=architecture,
        pretrained=pretrained,
        dimensions=dimensions,
        has_text=True,
        image_size=(pixels, pixels),
        preprocessing=preprocessing,
        hub_repository=hub,
        scoring=scoring,
        half="fp16" if facts.family == "MobileCLIP2" else "bf16",
        facts=facts,
    )


def _timm(
    name: str,
    dimensions: int,
    pixels: int,
    crop_share: float,
    facts: ModelFacts,
    preprocessing: Preprocessing = IMAGENET,
) -> ModelDescription:
    return timm_description(
        name,
        dimensions=dimensions,
        pixels=(pixels, pixels),
        preprocessing=preprocessing,
        crop_share=crop_share,
        hub=f"timm/{name}",
        facts=facts,
    )


CATALOGUE = {
    model.name: model
    for model in (
        _clip(
            "ViT-B-32/laion2b_s34b_b79k",
            512,
            224,
            OPENAI,
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            ModelFacts("words and photographs; a good start on a CPU", "MIT", 8.8, 151.3, 87.8, "CLIP"),
        ),
        _clip(
            "ViT-L-14/laion2b_s32b_b82k",
            768,
            224,
            LAION_L,
            "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
            ModelFacts("words and photographs, better; a GPU", "MIT", 162.0, 427.6, 304.0, "CLIP"),
        ),
        _clip(
            "ViT-L-14-quickgelu/openai",
            768,
            224,
            OPENAI,
            "timm/vit_large_patch14_clip_224.openai",
            ModelFacts(
                "comparison with what others built on OpenAI's CLIP", "MIT", 162.0, 427.6, 304.0, "CLIP"
            ),
        ),
        _clip(
            "ViT-H-14/laion2b_s32b_b79k",
            1024,
            224,
            OPENAI,
            "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
            ModelFacts("the best of LAION's own", "MIT", 334.6, 986.1, 632.1, "CLIP"),
        ),
        _clip(
            "ViT-B-16-quickgelu/dfn2b",
            512,
            224,
            OPENAI,
            "apple/DFN2B-CLIP-ViT-B-16",
            ModelFacts("words, better than others of its size", _APPLE, 35.1, 149.6, 86.2, "DFN"),
        ),
        _clip(
            "ViT-L-14-quickgelu/dfn2b",
            768,
            224,
            OPENAI,
            "apple/DFN2B-CLIP-ViT-L-14",
            ModelFacts("words, better than others of its size", _APPLE, 162.0, 427.6, 304.0, "DFN"),
        ),
        _clip(
            "ViT-H-14-378-quickgelu/dfn5b",
            1024,
            378,
            OPENAI_SQUASHED,
            "apple/DFN5B-CLIP-ViT-H-14-378",
            ModelFacts("the last per cent, at any cost", _APPLE, 1007.0, 986.7, 632.7, "DFN"),
        ),
        _clip(
            "ViT-SO400M-14-SigLIP-384/webli",
            1152,
            384,
            SIGLIP,
            "timm/ViT-SO400M-14-SigLIP-384",
            ModelFacts("words and small details, English", "Apache-2.0", 670.4, 878.0, 428.2, "SigLIP"),
            "sigmoid",
        ),
        _clip(
            "ViT-B-16-SigLIP2/webli",
            768,
            224,
            SIGLIP,
            "timm/ViT-B-16-SigLIP2",
            ModelFacts("words in many languages", "Apache-2.0", 35.4, 375.2, 92.9, "SigLIP2"),
            "sigmoid",
        ),
        _clip(
            "ViT-SO400M-16-SigLIP2-384/webli",
            1152,
            384,
            SIGLIP,
            "timm/ViT-SO400M-16-SigLIP2-384",
            ModelFacts(
                "words in many languages, small details", "Apache-2.0", 518.9, 1136.0, 428.3, "SigLIP2"
            ),
            "sigmoid",
        ),
        _clip(
            "ViT-H-14-worldwide-quickgelu/metaclip2_worldwide",
            1024,
            224,
            OPENAI,
            "timm/vit_huge_patch14_clip_224.metaclip2_worldwide",
            ModelFacts("words in many languages", "CC-BY-NC-4.0", 334.6, 1858.8, 632.1, "MetaCLIP2"),
        ),
        _clip(
            "MobileCLIP2-S0/dfndr2b",
            512,
            256,
            MOBILE,
            "timm/MobileCLIP2-S0-OpenCLIP",
            ModelFacts("words on a small machine", _APPLE, 4.8, 74.8, 11.4, "MobileCLIP2"),
        ),
        _clip(
            "MobileCLIP2-S2/dfndr2b",
            512,
            256,
            MOBILE,
            "timm/MobileCLIP2-S2-OpenCLIP",
            ModelFacts("words on a small machine, better", _APPLE, 15.7, 99.2, 35.8, "MobileCLIP2"),
        ),
        _clip(
            "PE-Core-T-16-384/meta",
            512,
            384,
            PERCEPTION,
            "timm/PE-Core-T-16-384",
            ModelFacts("words and small details on a small machine", "Apache-2.0", 9.5, 69.5, 6.1, "PE-Core"),
        ),
        _clip(
            "PE-Core-B-16/meta",
            1024,
            224,
            PERCEPTION,
            "timm/PE-Core-B-16",
            ModelFacts("words and photographs", "Apache-2.0", 35.6, 447.7, 93.7, "PE-Core"),
        ),
        _clip(
            "PE-Core-L-14-336/meta",
            1024,
            336,
            PERCEPTION,
            "timm/PE-Core-L-14-336",
            ModelFacts("words and small details", "Apache-2.0", 384.4, 671.1, 317.2, "PE-Core"),
        ),
        _timm(
            "vit_small_patch14_dinov2.lvd142m",
            384,
            518,
            1.0,
            ModelFacts("fine likeness, duplicates; no words", "Apache-2.0", 93.4, 22.1, 22.1, "DINOv2"),
        ),
        _timm(
            "vit_base_patch14_dinov2.lvd142m",
            768,
            518,
            1.0,
            ModelFacts("fine likeness, duplicates; no words", "Apache-2.0", 303.2, 86.6, 86.6, "DINOv2"),
        ),
        _timm(
            "vit_large_patch14_dinov2.lvd142m",
            1024,
            518,
            1.0,
            ModelFacts("fine likeness at its best; no words", "Apache-2.0", 1013.6, 304.4, 304.4, "DINOv2"),
        ),
        _timm(
            "vit_small_patch16_dinov3.lvd1689m",
            384,
            256,
            1.0,
            ModelFacts("fine likeness, duplicates, fast; no words", _DINOV3, 12.5, 21.6, 21.6, "DINOv3"),
        ),
        _timm(
            "vit_base_patch16_dinov3.lvd1689m",
            768,
            256,
            1.0,
            ModelFacts("fine likeness, duplicates; no words", _DINOV3, 47.1, 85.6, 85.6, "DINOv3"),
        ),
        _timm(
            "vit_large_patch16_dinov3.lvd1689m",
            1024,
            256,
            1.0,
            ModelFacts("fine likeness at its best; no words", _DINOV3, 164.7, 303.1, 303.1, "DINOv3"),
        ),
        _timm(
            "resnet50.a1_in1k",
            2048,
            224,
            0.95,
            ModelFacts(
                "likeness of things of ImageNet's kinds; no words", "Apache-2.0", 8.2, 23.5, 23.5, "ResNet"
            ),
        ),
        _timm(
            "efficientnet_b0.ra_in1k",
            1280,
            224,
            0.875,
            ModelFacts("likeness at the least cost; no words", "Apache-2.0", 0.8, 4.0, 4.0, "EfficientNet"),
        ),
        _timm(
            "tf_efficientnet_lite0.in1k",
            1280,
            224,
            0.875,
            ModelFacts(
                "likeness without a hub (extra lite); no words", "Apache-2.0", 0.8, 3.4, 3.4, "EfficientNet"
            ),
            LAION_L,
        ),
    )
}
