"""MAGVIT, the masked generative video transformer, as a Keras 3 library.

Public names are imported on first use, so that light parts (readers, worker processes)
do not load Keras and a backend.
"""

import pathlib
import sys

from magvit_keras._lazy import public_names
from magvit_keras._select_backend import select_backend

__version__ = "0.1.0"

_PUBLIC = {
    "VideoTokenizer": "magvit_keras.tokenizer.video_tokenizer",
    "ImageTokenizer": "magvit_keras.tokenizer.image_tokenizer",
    "VideoDiscriminator": "magvit_keras.tokenizer.discriminator",
    "ImageDiscriminator": "magvit_keras.tokenizer.discriminator",
    "VQGAN": "magvit_keras.tokenizer.vqgan",
    "PerceptualLoss": "magvit_keras.tokenizer.perceptual",
    "inflate": "magvit_keras.tokenizer.inflation",
    "MaskedTransformer": "magvit_keras.transformer.masked_transformer",
    "Magvit": "magvit_keras.model.magvit",
    "TASKS": "magvit_keras.commit.tasks",
    "ModelCard": "magvit_keras.presets.model_card",
    "upload_preset": "magvit_keras.presets.hub",
    "choose_backend": "magvit_keras.devices.hardware",
    "distribution": "magvit_keras.devices.distribution",
    "keep_memory": "magvit_keras.devices.hardware",
    "list_presets": "magvit_keras.presets.listing",
    "load_run": "magvit_keras.training.train",
    "train": "magvit_keras.training.train",
    "show": "magvit_keras.visualize.notebook",
}
_ROOMS = (
    "callbacks",
    "commit",
    "convert",
    "data",
    "decoding",
    "devices",
    "evaluation",
    "layers",
    "metrics",
    "presets",
    "tokenizer",
    "visualize",
)

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC, _ROOMS)

try:
    select_backend()
except (ValueError, ImportError) as error:
    if sys.orig_argv[1:3] == ["-m", "magvit_keras"] or pathlib.Path(sys.argv[0]).name == "magvit-keras":
        sys.exit(f"magvit-keras: {error}")  # a command answers in a line
    raise
