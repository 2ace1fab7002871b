"""The 3D-VQ tokenizer (Sec. 3.1)."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "VideoTokenizer": "magvit_keras.tokenizer.video_tokenizer",
    "ImageTokenizer": "magvit_keras.tokenizer.image_tokenizer",
    "VideoDiscriminator": "magvit_keras.tokenizer.discriminator",
    "ImageDiscriminator": "magvit_keras.tokenizer.discriminator",
    "VQGAN": "magvit_keras.tokenizer.vqgan",
    "PerceptualLoss": "magvit_keras.tokenizer.perceptual",
    "VectorQuantizer": "magvit_keras.tokenizer.quantizer",
    "LookupFreeQuantizer": "magvit_keras.tokenizer.lookup_free_quantizer",
    "FiniteScalarQuantizer": "magvit_keras.tokenizer.finite_scalar_quantizer",
    "QUANTIZERS": "magvit_keras.tokenizer.quantizers",
    "make_quantizer": "magvit_keras.tokenizer.quantizers",
    "Encoder": "magvit_keras.tokenizer.encoder",
    "Decoder": "magvit_keras.tokenizer.decoder",
    "inflate": "magvit_keras.tokenizer.inflation",
    "TwoOptimizers": "magvit_keras.tokenizer.two_optimizers",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
