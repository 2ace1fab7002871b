"""Prints scikit-image's PSNR and SSIM of the frames that tests/metrics/test_frames.py compares with.

    python scripts/frame_metric_numbers.py

scikit-image is not among the locked packages; the numbers stored in the test are those of version 0.26.0.
"""

import pathlib
import sys

import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tests.metrics.test_frames import pair


def main() -> None:
    frames = list(zip(*pair(), strict=True))
    print(f"scikit-image {skimage.__version__}, NumPy {np.__version__}")
    print("psnr", [round(float(peak_signal_noise_ratio(a, b, data_range=1)), 6) for a, b in frames])
    # Population variances and a Gaussian window: scikit-image's settings for the numbers of the SSIM paper.
    settings = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    gray = [[x.astype("float64") @ [0.2125, 0.7154, 0.0721] for x in both] for both in frames]
    print("ssim", [round(float(structural_similarity(a, b, **settings)), 6) for a, b in gray])


if __name__ == "__main__":
    main()
