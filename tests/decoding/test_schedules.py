import numpy as np
import pytest

from magvit_keras.decoding import schedules

METHODS = ["uniform", "cosine", "pow2", "pow2.5", "pow3", "log", "exp", "poly:-1.0,0.0,1.0"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("total", [8, 256, 1024])
def test_schedule_equals_the_reference(reference, method, total):
    ref = reference("schedule")
    ref.assert_close(schedules.mask_ratio(ref["ratio"], total, method), f"{method}/total_{total}")


@pytest.mark.parametrize("steps", [4, 12])
@pytest.mark.parametrize("method", ["cosine", "exp"])
@pytest.mark.parametrize("total", [256, 1024])
def test_number_of_masked_tokens_equals_the_reference(reference, steps, method, total):
    expected = reference("schedule")[f"num_masked/K{steps}_{method}_{total}"]
    masked = np.floor(schedules.mask_ratios(steps, total, method) * np.float32(total))
    np.testing.assert_array_equal(np.maximum(masked, 1), expected)


def test_cosine_at_two_thirds_masks_one_less_than_half():
    """cos(pi / 3) is 0.49999997 in float32."""
    assert int(schedules.mask_ratios(12, 1024, "cosine")[7] * np.float32(1024)) == 511


@pytest.mark.parametrize("method", METHODS)
def test_constants_equal_tensors(method):
    constants = schedules.mask_ratios(12, 1024, method)
    tensors = schedules.mask_ratio(schedules.decoding_progress(12), 1024, method)
    assert constants.dtype == np.float32
    np.testing.assert_allclose(constants, np.asarray(tensors), atol=1e-6)


@pytest.mark.parametrize("name", ["quadratic", "powx", "pow-1", "poly:a", "pow"])
def test_unknown_schedule_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="uniform, cosine, pow2"):
        schedules.mask_ratio(0.5, 8, name)


def test_no_steps_raise():
    with pytest.raises(ValueError, match="at least 1"):
        schedules.mask_ratios(0, 8)
