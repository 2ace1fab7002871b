import numpy as np
import pytest

from magvit_keras.commit.masking import MASK, RECONSTRUCT, REFINE, multivariate_mask

# Ids go to 1023, so this row is free; the reference writes the mask as -1.
MASK_ID = 5000
MODES = {"None": "prefix", "prefix": "prefix", "cond->input": "commit", "input->input": "latent_input"}
MODES["cond->cond"] = "latent"
LOSS_PARTS = {"mask+refine+recons": ("refine", "mask", "reconstruct"), "mask+refine": ("refine", "mask")}
CASES = [
    (mode, cond, weights, ratios)
    for mode in MODES
    for cond in (("none",) if mode in ("None", "prefix") else ("frame", "spatial", "dense"))
    for weights in LOSS_PARTS
    for ratios in ("shared", "per_sample")
]


def flat(x):
    return np.asarray(x).reshape(3, 40)


def run(ref, mode, cond, ratio, score="mask_score", **kwargs):
    shape = ref["inputs"].shape
    ispad = np.ones(shape, bool) if cond == "none" else np.broadcast_to(ref[f"cond_mask/{cond}"] == 0, shape)
    inputs, condition, score = (flat(ref[key]) for key in ("inputs", "cond_inputs", score))
    return multivariate_mask(
        inputs, condition, flat(ispad), ratio, score, mask_id=MASK_ID, condition_mode=MODES[mode], **kwargs
    )


def expect(expected, actual):
    np.testing.assert_array_equal(np.where(flat(expected) == -1, MASK_ID, flat(expected)), np.asarray(actual))


@pytest.mark.parametrize(("mode", "cond", "weights", "ratios"), CASES)
def test_equals_the_reference(reference, mode, cond, weights, ratios):
    ref = reference("mask")
    for i, ratio in enumerate(ref[f"mask_ratio/{ratios}"]):
        masked = run(ref, mode, cond, ratio, loss_parts=LOSS_PARTS[weights])
        key = f"{mode}/{cond}/{weights}/{ratios}"
        expect(ref[f"{key}/masked_inputs"][i], masked.ids)
        expect(ref[f"{key}/uncond_masked_inputs"][i], masked.unconditional_ids)
        expect(ref[f"{key}/targets"][i], masked.targets)
        np.testing.assert_array_equal(flat(ref[f"{key}/weights"][i]), np.asarray(masked.weights))
        if mode == "cond->input":
            np.testing.assert_array_equal(flat(ref[f"{key}/segment_ids"][i]) == 1, np.asarray(masked.parts) == REFINE)


@pytest.mark.parametrize("mode", ["None", "cond->cond"])
def test_ties_are_masked_together(reference, mode):
    ref = reference("mask")
    for i, ratio in enumerate(ref["mask_ratio/shared"]):
        cond = "dense" if mode == "cond->cond" else "none"
        masked = run(ref, mode, cond, ratio, "tie/mask_score", loss_parts=("refine", "mask"))
        expect(ref[f"tie/{mode}/masked_inputs"][i], masked.ids)
        np.testing.assert_array_equal(flat(ref[f"tie/{mode}/weights"][i]), np.asarray(masked.weights))


@pytest.mark.parametrize("mode", ["None", "cond->cond"])
def test_limits_equal_the_reference(reference, mode):
    ref = reference("mask")
    for i, limit in enumerate(ref["limits/max"]):
        cond = "dense" if mode == "cond->cond" else "none"
        masked = run(ref, mode, cond, 0.8, limit=limit, loss_parts=("refine", "mask"))
        expect(ref[f"limits/{mode}/masked_inputs"][i], masked.ids)


def test_all_masked_with_condition_equals_the_reference(reference):
    ref = reference("mask")
    masked = run(ref, "cond->input", "dense", 1.0)
    expect(ref["all_mask/with_cond/masked_inputs"], masked.ids)
    expect(ref["all_mask/with_cond/uncond_masked_inputs"], masked.unconditional_ids)


def test_parts_cover_every_position(reference):
    masked = run(reference("mask"), "cond->input", "dense", 0.5)
    parts = np.asarray(masked.parts)
    assert set(np.unique(parts)) == {REFINE, MASK, RECONSTRUCT}
    assert (np.asarray(masked.ids)[parts == MASK] == MASK_ID).all()
    assert np.asarray(masked.weights).all()


@pytest.mark.parametrize("part", ["refine", "mask", "reconstruct"])
def test_loss_parts_select_weights(reference, part):
    masked = run(reference("mask"), "cond->input", "dense", 0.5, loss_parts=(part,))
    number = {"refine": REFINE, "mask": MASK, "reconstruct": RECONSTRUCT}[part]
    np.testing.assert_array_equal(np.asarray(masked.weights) == 1, np.asarray(masked.parts) == number)


def test_unknown_names_raise(reference):
    ids = np.zeros((1, 4))
    with pytest.raises(ValueError, match="known ones: commit"):
        multivariate_mask(ids, ids, ids, 0.5, ids, mask_id=9, condition_mode="other")
    with pytest.raises(ValueError, match="known ones: refine"):
        multivariate_mask(ids, ids, ids, 0.5, ids, mask_id=9, loss_parts=("other",))
