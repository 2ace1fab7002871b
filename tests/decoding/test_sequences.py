"""Vocabulary, mask, transformer and decoder together: whole sequences and greedy decoding of the reference."""

import functools

import numpy as np
import pytest
from keras import ops

from magvit_keras.commit.masking import multivariate_mask
from magvit_keras.commit.vocabulary import Vocabulary
from magvit_keras.convert.flax import load_flax_params
from magvit_keras.decoding.commit_decoding import decode
from magvit_keras.transformer.masked_transformer import MaskedTransformer

# The official names of the tasks.
MULTITASK = {
    "frame_prediction": "frame_prediction",
    "frame_interpolation": "frame_interpolation",
    "outpainting_h": "horizontal_outpainting",
    "outpainting_v": "vertical_outpainting",
    "outpainting_c": "central_outpainting",
    "outpainting_dv": "dynamic_outpainting",
    "inpainting_c": "central_inpainting",
    "inpainting_dv": "dynamic_inpainting",
}
CASES = [("sequence_multitask", official, name) for official, name in MULTITASK.items()]
CASES.append(("sequence_class", "full_generation", "class_conditional_generation"))


@functools.cache
def transformer(ref):
    config = ref.config
    sizes = {name: config[name] for name in ("codebook_size", "num_classes", "latent_shape", "num_layers")}
    sizes |= {name: config[name] for name in ("hidden_size", "num_heads", "mlp_dim")}
    special = (2, 16) if config["multi_task"] else (1, 1)
    model = MaskedTransformer(**sizes, prefix_length=special[0], num_special_tokens=special[1])
    load_flax_params(model, ref.params())
    return model


class Sequence:
    """One task of the reference: its vocabulary, prefix and flat arrays."""

    def __init__(self, ref, official, name):
        self.ref, self.official, config = ref, official, ref.config
        special = 16 if config["multi_task"] else 1
        self.vocabulary = Vocabulary(config["codebook_size"], config["num_classes"], special, layout="official")
        assert self.vocabulary.size == config["vocab_size"]
        labels = ref["label"][:, 0] if name == "class_conditional_generation" else [-1, -1]
        prompts = [self.vocabulary.prompt_id(name)] * 2 if special == 16 else None
        no_class = [self.vocabulary.no_class_id] * 2
        self.prefix = self.vocabulary.prefix(prompts, self.vocabulary.class_ids(labels))
        self.unconditional_prefix = self.vocabulary.prefix(prompts, no_class)
        self.ids, self.condition_ids = ref["inputs"].reshape(2, 45), ref["cond_inputs"].reshape(2, 45)
        ispad = np.ones((2, *config["latent_shape"]), bool)
        if config["multi_task"]:
            ispad = ispad & (ref[f"{official}/cond_mask"] == 0)
        self.ispad = ispad.reshape(2, 45)

    def with_prefix(self, latents, prefix=None):
        return ops.concatenate([self.prefix if prefix is None else prefix, latents], axis=1)

    def expect(self, key, actual):
        expected = self.ref[f"{self.official}/{key}"]
        # The reference writes special tokens as negative ids.
        expected = np.where(expected < 0, expected + self.vocabulary.size, expected)
        np.testing.assert_array_equal(expected, ops.convert_to_numpy(actual))


@pytest.mark.parametrize(("case", "official", "name"), CASES)
def test_input_sequences_equal_the_reference(reference, case, official, name):
    ref = reference(case)
    sequence = Sequence(ref, official, name)
    masked = multivariate_mask(
        sequence.ids,
        sequence.condition_ids,
        sequence.ispad,
        ref["mask_ratio"],
        ref["mask_score"].reshape(2, 45),
        mask_id=sequence.vocabulary.mask_id,
    )
    sequence.expect("masked_inputs", sequence.with_prefix(masked.ids))
    sequence.expect("targets", sequence.with_prefix(masked.targets))
    unconditional = sequence.with_prefix(masked.unconditional_ids, sequence.unconditional_prefix)
    sequence.expect("uncond_masked_inputs", unconditional)
    prefix_length = sequence.vocabulary.prefix_length
    ref_weights = ref[f"{official}/weights"]
    assert not ref_weights[:, :prefix_length].any()
    np.testing.assert_array_equal(ref_weights[:, prefix_length:], ops.convert_to_numpy(masked.weights))


def decode_all(ref, sequences, num_steps, schedule, guidance):
    """All tasks in one batch, each clip with its own prompt and condition."""
    model = transformer(ref)
    prefix, unconditional_prefix, condition_ids, ispad = (
        ops.concatenate([getattr(sequence, name) for sequence in sequences])
        for name in ("prefix", "unconditional_prefix", "condition_ids", "ispad")
    )
    return decode(
        lambda ids: model.codebook_logits(ops.concatenate([prefix, ids], axis=1)),
        condition_ids,
        ispad,
        mask_id=sequences[0].vocabulary.mask_id,
        num_steps=num_steps,
        schedule=schedule,
        temperature=0.0,
        top_k=1,
        guidance_scale=guidance,
        predict_unconditional=(
            (lambda ids: model.codebook_logits(ops.concatenate([unconditional_prefix, ids], axis=1)))
            if guidance
            else None
        ),
    )


@pytest.mark.parametrize(
    ("case", "run"), [("sequence_multitask", 0), ("sequence_multitask", 1)] + [("sequence_class", i) for i in range(3)]
)
def test_greedy_decoding_equals_the_reference(reference, case, run):
    ref = reference(case)
    sequences = [Sequence(ref, official, name) for of_case, official, name in CASES if of_case == case]
    num_steps, schedule, guidance = ref.config["decode"][run]
    ids = ops.convert_to_numpy(decode_all(ref, sequences, num_steps, schedule, guidance))
    key = f"decode_K{num_steps}_{schedule}_guidance{guidance:g}"
    for i, sequence in enumerate(sequences):
        shape = ref[f"{sequence.official}/{key}"].shape
        sequence.expect(key, ids[2 * i : 2 * i + 2].reshape(shape))
