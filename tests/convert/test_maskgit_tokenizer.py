"""MaskGIT's image tokenizer: its layout with made-up weights, its shortcut, and the way into the 3D-VQ."""

import numpy as np
import pytest
from keras import ops

from magvit_keras.convert.flax import flatten
from magvit_keras.convert.maskgit import image_tokenizer_sizes, load_maskgit_tokenizer
from magvit_keras.layers.residual_block import ResidualBlock
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

FILTERS, MULTIPLIERS, BLOCKS, CODES, WIDTH = 32, (1, 1, 2, 2, 4), 2, 16, 8


def made_up_params(encoder_blocks=BLOCKS, decoder_blocks=BLOCKS):
    """The published tokenizer's tree at a quarter of its width, written down apart from the library's own names."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype("float32") * 0.1

    def norm(width):
        return {"scale": 1 + normal(width), "bias": normal(width)}

    def block(inner, outer):
        params = {
            "GroupNorm_0": norm(inner),
            "Conv_0": {"kernel": normal(3, 3, inner, outer)},
            "GroupNorm_1": norm(outer),
            "Conv_1": {"kernel": normal(3, 3, outer, outer)},
        }
        return {**params, "Conv_2": {"kernel": normal(1, 1, outer, outer)}} if inner != outer else params

    def convolution(size, inner, outer):
        return {"kernel": normal(size, size, inner, outer), "bias": normal(outer)}

    encoder, width = {"Conv_0": {"kernel": normal(3, 3, 3, FILTERS)}}, FILTERS
    for i, multiplier in enumerate([m for m in (*MULTIPLIERS, MULTIPLIERS[-1]) for _ in range(encoder_blocks)]):
        encoder[f"ResBlock_{i}"] = block(width, FILTERS * multiplier)
        width = FILTERS * multiplier
    encoder |= {"GroupNorm_0": norm(width), "Conv_1": convolution(1, width, WIDTH)}
    decoder = {"Conv_0": convolution(3, WIDTH, width)}
    down = MULTIPLIERS[::-1]
    for i, multiplier in enumerate([m for m in (down[0], *down) for _ in range(decoder_blocks)]):
        decoder[f"ResBlock_{i}"] = block(width, FILTERS * multiplier)
        width = FILTERS * multiplier
    for i, multiplier in enumerate(down[:-1]):
        decoder[f"Conv_{i + 1}"] = convolution(3, FILTERS * multiplier, FILTERS * multiplier)
    decoder |= {"GroupNorm_0": norm(width), f"Conv_{len(down)}": convolution(3, width, 3)}
    return {"params": {"encoder": encoder, "decoder": decoder, "quantizer": {"codebook": normal(CODES, WIDTH)}}}


@pytest.fixture(scope="module")
def params():
    return made_up_params()


@pytest.fixture(scope="module")
def tokenizer(params):
    return load_maskgit_tokenizer(params)


def test_sizes_are_read_off_the_arrays(tokenizer):
    assert (tokenizer.filters, tokenizer.channel_multipliers) == (FILTERS, MULTIPLIERS)
    assert (tokenizer.num_res_blocks, tokenizer.codebook_size, tokenizer.embedding_dim) == (BLOCKS, CODES, WIDTH)
    assert (tokenizer.shortcut, tokenizer.padding) == ("output", "same")


@pytest.mark.once
def test_a_deeper_decoder_is_read_off_the_arrays():
    assert image_tokenizer_sizes(flatten(made_up_params(1, 3)))["num_res_blocks"] == (1, 3)


def test_weights_are_those_of_the_tree(params, tokenizer):
    flat = flatten(params)
    assert tokenizer.count_params() == sum(value.size for value in flat.values())
    kernel = tokenizer.decoder.conv_up[-1].kernel.value
    np.testing.assert_array_equal(ops.convert_to_numpy(kernel), flat["decoder/Conv_4/kernel"])
    shortcut = tokenizer.encoder.blocks[4].shortcut.kernel.value
    np.testing.assert_array_equal(ops.convert_to_numpy(shortcut), flat["encoder/ResBlock_4/Conv_2/kernel"])


def test_shortcut_reads_the_output_of_the_convolutions():
    block = ResidualBlock(64, rank=2, padding="same", shortcut="output")
    block.build((None, None, None, 32))
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(1, 4, 4, 32)).astype("float32"))
    inner = block.conv_2(ops.silu(block.norm_2(block.conv_1(ops.silu(block.norm_1(x))))))
    expected = inner + block.shortcut(inner)
    difference = ops.convert_to_numpy(ops.stop_gradient(block(x) - expected))
    np.testing.assert_allclose(difference, 0, atol=1e-6)


def inflated(tokenizer, shortcut):
    video = VideoTokenizer(
        FILTERS, (1, 2, 2, 4), embedding_dim=WIDTH, codebook_size=CODES, padding="same", shortcut=shortcut
    )
    return inflate(tokenizer, video)


SURPLUS = {
    *(f"encoder/level_1_block_{i}" for i in (0, 1)),  # encoder ResBlocks 2 and 3
    *(f"decoder/level_0_block_{i}" for i in (0, 1)),  # decoder ResBlocks 10 and 11
    "decoder/conv_up_1",  # decoder Conv_4
}


def test_inflation_leaves_out_the_surplus_level(tokenizer):
    report = inflated(tokenizer, "output")
    assert {"/".join(name.split("/")[:2]) for name in report.left_out} == SURPLUS
    assert not report.not_filled


def test_inflation_into_the_papers_shortcut_leaves_out_four_more(tokenizer):
    report = inflated(tokenizer, "input")
    shortcuts = {name for name in report.left_out if name.endswith("shortcut/kernel")}
    assert len(shortcuts) == 4 and shortcuts == set(report.not_filled)
    assert {"/".join(n.split("/")[:2]) for n in report.left_out if n not in shortcuts} == SURPLUS


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="not the parameters of MaskGIT's tokenizer"):
        load_maskgit_tokenizer({"params": {"dense": {"kernel": np.zeros((2, 2))}}})
