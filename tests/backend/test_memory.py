"""A step frees its activations as it ends, not when Python next collects cycles: until then they fill the memory."""

import gc

import numpy as np
import pytest
from keras import ops

from magvit_keras import VQGAN, MaskedTransformer, VideoDiscriminator, VideoTokenizer, backend
from magvit_keras.layers.rematerialized import REMATS

pytestmark = pytest.mark.skipif(backend.name() != "torch", reason="compilers plan their memory")


def left_by(step):
    """Tensors that are alive after a second step and were not before."""
    import torch

    def alive():
        return {id(x): x for x in gc.get_objects() if isinstance(x, torch.Tensor)}

    step()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        step()
        return [tuple(x.shape) for key, x in alive().items() if key not in before]
    finally:
        gc.enable()


@pytest.mark.parametrize("remat", REMATS)
def test_the_transformers_gradients(remat):
    sizes = {"num_layers": 2, "hidden_size": 8, "num_heads": 2, "mlp_dim": 16, "dropout": 0.5}
    model = MaskedTransformer(8, 2, (1, 2, 2), remat=remat, **sizes)
    ids = np.arange(12, dtype="int32").reshape(2, 6)

    def step():
        def loss():
            return ops.mean(ops.square(model(ids, training=True))), ()

        backend.value_and_gradients(loss, model.trainable_variables, [])

    assert not left_by(step)


@pytest.mark.parametrize("remat", REMATS)
def test_both_optimizers_step(remat):
    tokenizer = VideoTokenizer(
        filters=4,
        channel_multipliers=(1, 2),
        num_res_blocks=1,
        embedding_dim=4,
        norm_groups=2,
        temporal_downsample=(True,),
        codebook_size=16,
        remat=remat,
    )
    discriminator = VideoDiscriminator(filters=2, channel_multipliers=(2,), video_shape=(2, 4, 4), remat=remat)
    model = VQGAN(tokenizer, discriminator, perceptual_loss=None)
    model.compile("adam", "adam")
    clips = np.random.default_rng(0).random((2, 2, 4, 4, 3), "float32")
    assert not left_by(lambda: model.train_on_batch(clips))


def test_decoding():
    tokenizer = VideoTokenizer.from_preset("3dvq_moving_shapes")
    ids = np.zeros((1, 4, 16, 16), "int32")
    assert not left_by(lambda: tokenizer.decode(ids))
