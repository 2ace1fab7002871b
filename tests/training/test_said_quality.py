"""What a training will take, and how good a tokenizer is."""

import numpy as np
import pytest

from magvit_keras.training.measure import block_means_psnr, chosen_shape, chosen_steps, quality

pytestmark = pytest.mark.once


class Constant:
    """Stands for a tokenizer that gives one code."""

    downsampling, codebook_size = (1, 4, 4), 64

    def encode(self, videos):
        return np.zeros((len(videos), 4, 2, 2), "int32")


@pytest.mark.parametrize(
    ("seconds", "shape"), [(0.01, (16, 128, 128)), (1.0, (16, 64, 64)), (2.0, (8, 64, 64)), (50.0, (8, 32, 32))]
)
def test_faster_machines_get_larger_clips(seconds, shape):
    assert chosen_shape(16 * 64 * 64, seconds, budget=1800) == shape


def test_steps_fill_the_time_but_for_a_tenth():
    first, second = chosen_steps((0.5, 0.2), budget=3600)
    assert 0.85 * 3600 <= first * 0.5 + second * 0.2 <= 0.9 * 3600


def test_block_means_are_exact_where_blocks_have_one_colour():
    clips = np.random.default_rng(0).integers(0, 255, (2, 4, 2, 2, 3), "uint8").repeat(4, axis=2).repeat(4, axis=3)
    assert block_means_psnr(clips, (1, 4, 4)) > 99 and block_means_psnr(clips, (1, 8, 8)) < 20


@pytest.mark.parametrize(("psnr", "advice"), [(10.0, "That is poor"), (40.0, "Few codes are used")])
def test_a_poor_tokenizer_is_told_with_what_to_try_next(psnr, advice):
    clips = np.random.default_rng(0).integers(0, 255, (2, 4, 8, 8, 3), "uint8")
    said = quality({"psnr": psnr, "reconstruction_loss": 0.1}, clips, Constant(), "Held-out clips")
    assert said[0].startswith(f"Held-out clips: PSNR {psnr:.1f} dB") and "1 of 64 codes are used" in said[0]
    assert advice in said[1]
