"""Measures of generated clips (Sec. 4, App. B.3): pure functions, Keras metrics, and the networks behind them."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "FeatureStatistics": "magvit_keras.metrics.statistics",
    "frechet_distance": "magvit_keras.metrics.frechet",
    "expected_bias": "magvit_keras.metrics.frechet",
    "kernel_distance": "magvit_keras.metrics.kernel",
    "inception_score": "magvit_keras.metrics.inception",
    "over_folds": "magvit_keras.metrics.folds",
    "fvd": "magvit_keras.metrics.video_scores",
    "kernel_video_distance": "magvit_keras.metrics.video_scores",
    "video_inception_score": "magvit_keras.metrics.video_scores",
    "clip_features": "magvit_keras.metrics.video_scores",
    "VideoScore": "magvit_keras.metrics.video_scores",
    "psnr": "magvit_keras.metrics.frames",
    "ssim": "magvit_keras.metrics.frames",
    "interframe": "magvit_keras.metrics.frames",
    "best_of": "magvit_keras.metrics.frames",
    "resize": "magvit_keras.metrics.resizing",
    "RESIZE_RULES": "magvit_keras.metrics.resizing",
    "I3D": "magvit_keras.metrics.i3d",
    "C3D": "magvit_keras.metrics.c3d",
    "shapes_classifier": "magvit_keras.metrics.shapes_network",
    "shapes_fvd": "magvit_keras.metrics.shapes_scores",
    "shapes_accuracy": "magvit_keras.metrics.shapes_scores",
    "ShapesClassifier": "magvit_keras.metrics.shapes_network",
    "ShapesFeatures": "magvit_keras.metrics.shapes_network",
    "LPIPS": "magvit_keras.metrics.lpips",
    "PSNR": "magvit_keras.metrics.frame_metrics",
    "SSIM": "magvit_keras.metrics.frame_metrics",
    "PerceptualDistance": "magvit_keras.metrics.frame_metrics",
    "FrechetDistance": "magvit_keras.metrics.distribution_metrics",
    "KernelDistance": "magvit_keras.metrics.distribution_metrics",
    "InceptionScore": "magvit_keras.metrics.distribution_metrics",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
