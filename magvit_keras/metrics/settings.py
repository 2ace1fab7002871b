"""Settings that papers use for their scores, such as `kernel_video_distance(real, generated, network, **JEDI)`.

Each is what the named code does; the encoder and its weights are the user's.
"""

from typing import Any

#: JEDi's distance: 100 times the biased MMD with (x.y / D)^2, on 5,000 clips of 16 frames through V-JEPA ViT-H/16 and
#: the pooling of its SSv2 probe (arXiv 2410.05203; `mmd_poly` and `JEDiMetric` of github.com/oooolga/JEDi).
JEDI: dict[str, Any] = {
    "kernel": "polynomial",
    "degree": 2,
    "gamma": None,
    "coefficient": 0.0,
    "unbiased": False,
    "scale": 100.0,
}
JEDI_CLIPS = 5000

#: What V-JEPA takes in JEDi, for `ClipEncoder`: ImageNet's normalization.
V_JEPA_INPUT: dict[str, Any] = {"input_size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

#: What VideoMAE-v2 ViT-g, fine-tuned on SSv2, takes in content-debiased FVD, for `ClipEncoder`: 16 frames, squeezed to
#: 224 x 224, in [0, 1] as they are (arXiv 2404.12391; `preprocess_videomae` of
#: github.com/songweige/content-debiased-fvd). The score is then `fvd` of 2,048 generated clips and all real ones.
VIDEOMAE_INPUT: dict[str, Any] = {"input_size": 224, "resize_rule": "half_pixel"}
CONTENT_DEBIASED_CLIPS = 2048

#: What VideoPrism takes, for `ClipEncoder`: 16 frames of 288 x 288 in [0, 1] (arXiv 2402.13217; KerasHub's presets).
VIDEOPRISM_INPUT: dict[str, Any] = {"input_size": 288}

#: StyleGAN-V's Inception Score, of 2,048 clips (arXiv 2112.14683; `isv2048_ucf` of github.com/universome/stylegan-v).
STYLEGAN_V_INCEPTION: dict[str, Any] = {"splits": 10}
STYLEGAN_V_CLIPS = 2048
