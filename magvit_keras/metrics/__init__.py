"""Measures of generated clips (Sec. 4, App. B.3): pure functions, Keras metrics, and the networks behind them."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "FeatureStatistics": "magvit_keras.metrics.statistics",
    "frechet_distance": "magvit_keras.metrics.frechet",
    "expected_bias": "magvit_keras.metrics.frechet",
    "kernel_distance": "magvit_keras.metrics.kernel",
    "inception_score": "magvit_keras.metrics.inception",
    "over_folds": "magvit_keras.metrics.folds",
    "psnr": "magvit_keras.metrics.frames",
    "ssim": "magvit_keras.metrics.frames",
    "interframe": "magvit_keras.metrics.frames",
    "best_of": "magvit_keras.metrics.frames",
    "PSNR": "magvit_keras.metrics.frame_metrics",
    "SSIM": "magvit_keras.metrics.frame_metrics",
    "FrechetDistance": "magvit_keras.metrics.distribution_metrics",
    "KernelDistance": "magvit_keras.metrics.distribution_metrics",
    "InceptionScore": "magvit_keras.metrics.distribution_metrics",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
