"""VQGANs in PyTorch: made-up weights in their layouts, and the decoder against a forward pass in PyTorch."""

import numpy as np
import pytest
from keras import ops

from magvit_keras.convert.torch_vqgan import load_torch_vqgan

CH, MULTIPLIERS, BLOCKS, Z, CODES, WIDTH = 32, (1, 2), 2, 16, 20, 8


def made_up_state():
    """taming's layout. Attention, third blocks and biases inside blocks are nought, so that they change nothing."""
    rng = np.random.default_rng(0)
    state = {}

    def convolution(name, inner, outer, size=3, bias=True):
        state[f"{name}.weight"] = (rng.normal(size=(outer, inner, size, size)) / size / inner**0.5).astype("float32")
        state[f"{name}.bias"] = (rng.normal(size=outer) * 0.1 * bias).astype("float32")

    def norm(name, width):
        state[f"{name}.weight"] = (1 + rng.normal(size=width) * 0.1).astype("float32")
        state[f"{name}.bias"] = (rng.normal(size=width) * 0.1).astype("float32")

    def block(name, inner, outer, nought=False):
        norm(f"{name}.norm1", inner)
        convolution(f"{name}.conv1", inner, outer, bias=False)
        norm(f"{name}.norm2", outer)
        convolution(f"{name}.conv2", outer, outer, bias=False)
        if nought:
            state[f"{name}.conv2.weight"] *= 0
        if inner != outer:
            convolution(f"{name}.nin_shortcut", inner, outer, 1, bias=False)

    def attention(name, width):
        norm(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            convolution(f"{name}.{part}", width, width, 1)

    def middle(name, width):
        block(f"{name}.mid.block_1", width, width)
        attention(f"{name}.mid.attn_1", width)
        block(f"{name}.mid.block_2", width, width)

    convolution("encoder.conv_in", 3, CH)
    width = CH
    for level, multiplier in enumerate(MULTIPLIERS):
        for i in range(BLOCKS):
            block(f"encoder.down.{level}.block.{i}", width, CH * multiplier)
            width = CH * multiplier
            if level == len(MULTIPLIERS) - 1:
                attention(f"encoder.down.{level}.attn.{i}", width)
        if level < len(MULTIPLIERS) - 1:
            convolution(f"encoder.down.{level}.downsample.conv", width, width)
    middle("encoder", width)
    norm("encoder.norm_out", width)
    convolution("encoder.conv_out", width, Z)
    convolution("quant_conv", Z, WIDTH, 1)
    state["quantize.embedding.weight"] = rng.normal(size=(CODES, WIDTH)).astype("float32")
    convolution("post_quant_conv", WIDTH, Z, 1, bias=False)
    convolution("decoder.conv_in", Z, width)
    middle("decoder", width)
    for level in reversed(range(len(MULTIPLIERS))):
        for i in range(BLOCKS + 1):
            block(f"decoder.up.{level}.block.{i}", width, CH * MULTIPLIERS[level], nought=i == BLOCKS)
            width = CH * MULTIPLIERS[level]
            if level == len(MULTIPLIERS) - 1:
                attention(f"decoder.up.{level}.attn.{i}", width)
        if level > 0:
            convolution(f"decoder.up.{level}.upsample.conv", width, width)
    norm("decoder.norm_out", width)
    convolution("decoder.conv_out", width, 3)
    convolution("loss.discriminator.main.0", 3, 4)
    return state


def to_llamagen(name):
    """The same parameter as LlamaGen calls it: its decoder counts levels from the deepest."""
    for part, index in (("block_1", 0), ("attn_1", 1), ("block_2", 2)):
        name = name.replace(f".mid.{part}.", f".mid.{index}.")
    for level in range(len(MULTIPLIERS)):
        name = name.replace(f"encoder.down.{level}.", f"encoder.conv_blocks.{level}.")
        name = name.replace(f"decoder.up.{level}.", f"decoder.conv_blocks.{len(MULTIPLIERS) - 1 - level}.")
    return name.replace(".block.", ".res.")


def decode_in_torch(state, codes):
    """taming's decoder without attention and third blocks, in functional PyTorch; pixels in [-1, 1]."""
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(value) for name, value in state.items()}
    functional = torch.nn.functional

    def convolution(x, name):
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def norm(x, name):
        return functional.silu(functional.group_norm(x, 32, state[f"{name}.weight"], state[f"{name}.bias"], 1e-6))

    def block(x, name):
        h = convolution(norm(x, f"{name}.norm1"), f"{name}.conv1")
        h = convolution(norm(h, f"{name}.norm2"), f"{name}.conv2")
        return h + (convolution(x, f"{name}.nin_shortcut") if f"{name}.nin_shortcut.weight" in state else x)

    x = torch.tensor(codes).permute(0, 3, 1, 2)
    x = convolution(convolution(x, "post_quant_conv"), "decoder.conv_in")
    for name in ("block_1", "block_2"):
        x = block(x, f"decoder.mid.{name}")
    for level in reversed(range(len(MULTIPLIERS))):
        for i in range(BLOCKS):
            x = block(x, f"decoder.up.{level}.block.{i}")
        if level > 0:
            x = convolution(
                functional.interpolate(x, scale_factor=2.0, mode="nearest"), f"decoder.up.{level}.upsample.conv"
            )
    return convolution(norm(x, "decoder.norm_out"), "decoder.conv_out").permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module", params=["taming", "llamagen"])
def case(request):
    state = made_up_state()
    if request.param == "taming":
        return state, state, *load_torch_vqgan({"state_dict": state, "epoch": 1})
    renamed = {to_llamagen(name): value for name, value in state.items()}
    return state, renamed, *load_torch_vqgan({"model": renamed})


def test_sizes(case):
    _, _, tokenizer, _ = case
    assert (tokenizer.filters, tokenizer.channel_multipliers, tokenizer.num_res_blocks) == (CH, MULTIPLIERS, BLOCKS)
    assert (tokenizer.codebook_size, tokenizer.embedding_dim) == (CODES, WIDTH)


def test_decoder_equals_that_of_the_source(case):
    state, given, tokenizer, _ = case
    ids = np.random.default_rng(1).integers(0, CODES, (2, 4, 4)).astype("int32")
    codes = state["quantize.embedding.weight"]
    if given is not state:  # LlamaGen uses codes of length 1
        codes = codes / np.linalg.norm(codes, axis=-1, keepdims=True)
    expected = (decode_in_torch(state, codes[ids]) + 1) / 2
    np.testing.assert_allclose(ops.convert_to_numpy(tokenizer.decode(ids, clip=False)), expected, atol=2e-5)


def test_report_accounts_for_every_parameter(case):
    _, given, tokenizer, report = case
    ours = len(report.copied) + len(report.changed) + len(report.not_filled)
    assert ours == len(tokenizer.weights)
    assert set(report.not_filled) == {"encoder/conv_out/kernel", "encoder/conv_out/bias"}
    assert set(report.left_out) <= set(given)
    # Each of the 2 folded parameters goes into one of ours that has a source of its own.
    assert len(given) - len(report.left_out) == ours - len(report.not_filled) + 2


def test_report_names_the_reasons(case):
    _, given, _, report = case
    reasons = "\n".join(report.left_out.values())
    for word in ("attention", "strided", "one block more", "a bias where", "a single 1x1", "no part of"):
        assert word in reasons
    assert sum("attention" in reason for reason in report.left_out.values()) == sum(
        ".attn" in name or ".mid.1." in name for name in given
    )
    assert "copied" in str(report)


def test_files(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(value) for name, value in made_up_state().items()}
    torch.save({"state_dict": state}, tmp_path / "model.ckpt")
    from_file, _ = load_torch_vqgan(tmp_path / "model.ckpt")
    from_state, _ = load_torch_vqgan(state)
    kernels = [ops.convert_to_numpy(t.decoder.conv_in.kernel.value) for t in (from_file, from_state)]
    np.testing.assert_array_equal(*kernels)


def test_other_layouts_are_refused():
    with pytest.raises(ValueError, match="neither the layout of taming-transformers nor that of LlamaGen"):
        load_torch_vqgan({"layer.weight": np.zeros((2, 2))})
