"""The models of the paper as plain data."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "MAGVITS": "magvit_keras.presets.transformers",
    "MASKED_TRANSFORMERS": "magvit_keras.presets.transformers",
    "VIDEO_TOKENIZERS": "magvit_keras.presets.tokenizers",
    "IMAGE_TOKENIZERS": "magvit_keras.presets.image_tokenizers",
    "VIDEO_DISCRIMINATORS": "magvit_keras.presets.discriminators",
    "IMAGE_DISCRIMINATORS": "magvit_keras.presets.discriminators",
    "RECIPES": "magvit_keras.presets.recipes",
    "Recipe": "magvit_keras.presets.recipes",
    "get_recipe": "magvit_keras.presets.recipes",
    "PROTOCOLS": "magvit_keras.presets.protocols",
    "Protocol": "magvit_keras.presets.protocols",
    "get_protocol": "magvit_keras.presets.protocols",
    "estimate": "magvit_keras.presets.estimates",
    "ModelCard": "magvit_keras.presets.model_card",
    "upload_preset": "magvit_keras.presets.hub",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
