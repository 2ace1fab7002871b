"""Non-autoregressive decoding (Algorithm 1)."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "decode": "magvit_keras.decoding.commit_decoding",
    "DecodingSteps": "magvit_keras.decoding.commit_decoding",
    "decode_autoregressive": "magvit_keras.decoding.autoregressive",
    "halton_order": "magvit_keras.decoding.halton",
    "SCHEDULES": "magvit_keras.decoding.schedules",
    "get_schedule": "magvit_keras.decoding.schedules",
    "mask_ratio": "magvit_keras.decoding.schedules",
    "mask_ratios": "magvit_keras.decoding.schedules",
    "filter_logits": "magvit_keras.decoding.sampling",
    "sample_tokens": "magvit_keras.decoding.sampling",
    "clip_seeds": "magvit_keras.decoding.noise",
    "seed_from": "magvit_keras.decoding.noise",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
