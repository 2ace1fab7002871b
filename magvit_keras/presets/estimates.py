"""Parameters of a recipe's models, and what its training costs, from sizes alone: nothing is built.

Parameters are exact. Operations are counted for convolutions and matrix products; memory and time follow from them by
the assumptions in `ASSUMPTIONS`, and are estimates.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from magvit_keras.presets.discriminators import IMAGE_DISCRIMINATORS, VIDEO_DISCRIMINATORS
from magvit_keras.presets.image_tokenizers import IMAGE_TOKENIZERS
from magvit_keras.presets.recipes import Recipe
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.presets.transformers import MAGVITS

#: Peak of the accelerator that the times are for: an A100, TF32, in operations a second.
PEAK = 156e12
#: Share of the peak that a training reaches.
UTILISATION = 0.3
#: Bytes of an activation that is kept for the backward pass.
ACTIVATION_BYTES = 4
# Multiplications of ResNet-50 on a frame of 224x224, from which the perceptual loss is.
_RESNET_MACS = 4.1e9

ASSUMPTIONS = (
    "Memory: weights, gradients and both moments of Adam in float32, and the averaged weights of a tokenizer; the "
    "frozen tokenizer of a transformer is not counted. Beside it, for each clip of the batch, what is kept for the "
    "backward pass, in float32, nothing computed twice.",
    "Time: operations of all steps (convolutions and matrix products; forward, backward, R1's second derivative, the "
    f"perceptual loss; a transformer trains from cached tokens) at {UTILISATION:.0%} of the {PEAK / 1e12:.0f} "
    "teraflop/s of one A100 in TF32. Reading data is not counted.",
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network needs for one example.

    Args:
        parameters: its weights.
        macs: multiplications with addition of a forward pass.
        kept: values that a backward pass needs.
    """

    parameters: int = 0
    macs: int = 0
    kept: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.macs + other.macs, self.kept + other.kept)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a recipe costs.

    Args:
        parameters: of the model that it trains.
        discriminator_parameters: of the discriminator, 0 without one.
        state_bytes: of weights, gradients, optimizer and averages.
        clip_bytes: of what is kept for a backward pass, for each clip of the batch.
        step_operations: floating point operations of a step.
        run_operations: of the whole training.
        seconds: of the whole training on one accelerator of `PEAK` at `UTILISATION`.
    """

    parameters: int
    discriminator_parameters: int
    state_bytes: int
    clip_bytes: int
    step_operations: float
    run_operations: float
    seconds: float


def tokenizer_cost(config: Mapping[str, Any], shape: tuple[int, ...]) -> Cost:
    """Encoder, codebook and decoder of a 2D-VQ or 3D-VQ with learned codes.

    Args:
        config: constructor arguments; all sizes must be among them.
        shape: (T, H, W) of a clip for a 3D-VQ, (H, W) of a frame for a 2D-VQ.

    Example:
        >>> tokenizer_cost(VIDEO_TOKENIZERS["3dvq_base_ucf101"]["config"], (16, 128, 128)).parameters
        40579843
    """
    rank, filters, blocks = len(shape), config["filters"], config["num_res_blocks"]
    encoder_blocks, decoder_blocks = blocks if isinstance(blocks, list | tuple) else (blocks, blocks)
    widths = [filters * multiplier for multiplier in config["channel_multipliers"]]
    wavelet = config.get("wavelet") or (1,) * rank
    folded, size = 3 * math.prod(wavelet), 1 if config.get("wavelet") else 3
    grids = [tuple(-(-n // by) for n, by in zip(shape, wavelet, strict=True))]
    for level in range(len(widths) - 1):
        halved = ((config["temporal_downsample"][level],) if rank == 3 else ()) + (True, True)
        grids.append(tuple(-(-n // 2) if half else n for n, half in zip(grids[-1], halved, strict=True)))
    dim, codes, deepest = config["embedding_dim"], config["codebook_size"], widths[-1]
    cost, width = _conv(grids[0], folded, filters, size, bias=False), filters
    for grid, wider in zip(grids, widths, strict=True):
        for _ in range(encoder_blocks):
            cost, width = cost + _residual(grid, width, wider), wider
    for _ in range(encoder_blocks + decoder_blocks):  # the bottlenecks of encoder and decoder
        cost += _residual(grids[-1], deepest, deepest)
    cost += _norm(grids[-1], deepest) + _conv(grids[-1], deepest, dim, 1)
    tokens = math.prod(grids[-1])
    cost += Cost(
        codes * dim + codes * (config.get("quantizer") == "vq_ema"), 2 * tokens * codes * dim, tokens * (dim + codes)
    )
    cost, width = cost + _conv(grids[-1], dim, deepest, 3), deepest
    for level in reversed(range(len(widths))):
        for _ in range(decoder_blocks):
            cost, width = cost + _residual(grids[level], width, widths[level]), widths[level]
        if level:
            cost += _conv(grids[level - 1], width, width, 3)
    if config.get("wavelet"):  # the matrices from pixels to latents, and back
        cells = 3 * math.prod(shape) // tokens
        cost += _conv(grids[-1], cells, dim, 1, bias=False) + _conv(grids[-1], dim, cells, 1, bias=False)
    return cost + _norm(grids[0], width) + _conv(grids[0], width, folded, size)


def discriminator_cost(config: Mapping[str, Any]) -> Cost:
    """A discriminator, from its constructor arguments.

    Example:
        >>> discriminator_cost(VIDEO_DISCRIMINATORS["discriminator_base_128"]["config"]).parameters
        15339457
    """
    grid = tuple(config["video_shape"] if "video_shape" in config else config["image_shape"])
    width = config["filters"]
    cost = _conv(grid, 3, width, 3)
    for multiplier in config["channel_multipliers"]:
        wider, half = config["filters"] * multiplier, tuple(-(-n // 2) for n in grid)
        cost += _conv(grid, width, width, 3) + _conv(half, width, wider, 3) + _conv(half, width, wider, 1, bias=False)
        cost += Cost(kept=math.prod(grid) * width + math.prod(half) * wider)  # inputs of the activations
        grid, width = half, wider
    cells = math.prod(grid) * width
    return cost + _conv(grid, width, width, 3) + _dense(1, cells, width) + _dense(1, width, 1)


def transformer_cost(config: Mapping[str, Any]) -> Cost:
    """A masked transformer, from its constructor arguments.

    Example:
        >>> cost = transformer_cost(MAGVITS["magvit_base_ucf101_cg"]["config"]["transformer"]["config"])
        >>> cost.parameters
        87314294
    """
    tokens = math.prod(config["latent_shape"])
    sequence, width, mlp, heads = tokens + 2, config["hidden_size"], config["mlp_dim"], config["num_heads"]
    vocabulary = config["codebook_size"] + config["num_classes"] + 17  # "no class" and 16 special tokens
    cost = Cost((vocabulary + sequence) * width, 0, sequence * width) + _layer_norm(sequence, width)
    for _ in range(config["num_layers"]):
        for _ in range(4):  # query, key, value, output
            cost += _dense(sequence, width, width)
        # Affinities and the weighted sum; kept are affinities, weights and dropped weights.
        cost += Cost(0, 2 * sequence * sequence * width, 3 * heads * sequence * sequence)
        cost += _dense(sequence, width, mlp) + _dense(sequence, mlp, width) + Cost(kept=sequence * mlp)
        cost += _layer_norm(sequence, width) + _layer_norm(sequence, width)
    cost += _dense(tokens, width, width) + _layer_norm(tokens, width)
    # The output shares the token table; only the codebook is scored, and the head has weights for all.
    return cost + Cost(vocabulary, tokens * width * config["codebook_size"], tokens * config["codebook_size"])


def estimate(recipe: Recipe) -> Estimate:
    """What the training of a recipe costs; `ASSUMPTIONS` says by what rule.

    Example:
        >>> from magvit_keras.presets.recipes import get_recipe
        >>> cost = estimate(get_recipe("ucf101-3dvq-large"))
        >>> cost.parameters, cost.discriminator_parameters
        (157811971, 61341569)
    """
    if recipe.kind == "transformer":
        model = transformer_cost(MAGVITS[recipe.preset]["config"]["transformer"]["config"])
        critic, copies = Cost(), 4
        macs, kept = 3 * model.macs, model.kept
    else:
        model, critic = _adversarial(recipe)
        copies = 5
        # Tokenizer: forward, and twice that backward. Discriminator: forward on the reconstruction and back to its
        # pixels; forward on real clips, back to their pixels, and R1's derivative of both; forward and backward.
        macs = 3 * model.macs + 11 * critic.macs
        kept = model.kept + 4 * critic.kept
        if recipe.losses["perceptual_weight"]:
            macs += 3 * _RESNET_MACS * recipe.video_shape[0]
    state = 4 * (copies * model.parameters + 4 * critic.parameters)
    operations = 2.0 * macs * recipe.batch_size
    return Estimate(
        parameters=model.parameters,
        discriminator_parameters=critic.parameters,
        state_bytes=state,
        clip_bytes=ACTIVATION_BYTES * kept,
        step_operations=operations,
        run_operations=operations * recipe.total_steps,
        seconds=operations * recipe.total_steps / (PEAK * UTILISATION),
    )


def _adversarial(recipe: Recipe) -> tuple[Cost, Cost]:
    if recipe.kind == "tokenizer":
        config, critic = VIDEO_TOKENIZERS[recipe.preset]["config"], VIDEO_DISCRIMINATORS[recipe.discriminator]["config"]
        return tokenizer_cost(config, recipe.video_shape), discriminator_cost(critic)
    config, critic = IMAGE_TOKENIZERS[recipe.preset]["config"], IMAGE_DISCRIMINATORS[recipe.discriminator]["config"]
    return tokenizer_cost(config, recipe.video_shape[1:]), discriminator_cost(critic)


def _conv(grid: tuple[int, ...], width: int, wider: int, kernel: int, bias: bool = True) -> Cost:
    cells, weights = math.prod(grid), kernel ** len(grid) * width * wider
    return Cost(weights + bias * wider, cells * weights, cells * width)


def _norm(grid: tuple[int, ...], width: int) -> Cost:
    """Normalization and swish."""
    return Cost(2 * width, 0, 2 * math.prod(grid) * width)


def _residual(grid: tuple[int, ...], width: int, wider: int) -> Cost:
    cost = _norm(grid, width) + _conv(grid, width, wider, 3, bias=False)
    cost += _norm(grid, wider) + _conv(grid, wider, wider, 3, bias=False)
    return cost if width == wider else cost + _conv(grid, width, wider, 1, bias=False)


def _dense(rows: int, width: int, wider: int) -> Cost:
    return Cost(width * wider + wider, rows * width * wider, rows * width)


def _layer_norm(rows: int, width: int) -> Cost:
    return Cost(2 * width, 0, rows * width)
