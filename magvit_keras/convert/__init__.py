"""Weights from elsewhere: the official Flax code, MaskGIT's image tokenizer, VQGANs in PyTorch, metrics' networks."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "convert_checkpoint": "magvit_keras.convert.checkpoint",
    "load_flax_params": "magvit_keras.convert.flax",
    "load_resnet50": "magvit_keras.convert.resnet",
    "load_maskgit_tokenizer": "magvit_keras.convert.maskgit",
    "load_torch_vqgan": "magvit_keras.convert.torch_vqgan",
    "load_i3d": "magvit_keras.convert.i3d",
    "load_c3d": "magvit_keras.convert.c3d",
    "load_lpips": "magvit_keras.convert.lpips",
    "fetch": "magvit_keras.convert.fetching",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
