"""Run by test_distribution.py: trains on one device, then on several, and prints what came of it as one line of JSON.

    python distributed_steps.py

On PyTorch each process runs this, with RANK and WORLD_SIZE set; on the others one process has several devices.
"""

import json
import os
import pathlib

import numpy as np

NAME = os.environ["KERAS_BACKEND"]
# TensorFlow's XLA draws other random numbers than its graphs do, and a step on several devices is a graph.
JIT = NAME == "jax"
RANK = int(os.environ.get("RANK", 0))
if NAME == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402
from keras import ops  # noqa: E402

import magvit_keras as mk  # noqa: E402
from magvit_keras import backend  # noqa: E402
from magvit_keras.backend.replicas import draw_apart  # noqa: E402
from magvit_keras.data.loader import part_of_batch  # noqa: E402
from magvit_keras.metrics import FeatureStatistics  # noqa: E402


def aligned(array):
    """The same numbers where TensorFlow takes an array without copying it."""
    memory = np.empty(array.nbytes + 64, "uint8")
    start = -memory.ctypes.data % 64
    result = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


BATCH, STEPS = 4, 5
CLIPS = aligned(np.random.default_rng(0).random((BATCH * STEPS, 2, 4, 4, 3), "float32"))
GIVEN = CLIPS.copy()
TOKENIZER = {"filters": 32, "channel_multipliers": (1,), "temporal_downsample": (), "num_res_blocks": 1}


class Batches(keras.utils.PyDataset):
    """Each process gets its part of each batch, in order."""

    def __init__(self, arrays):
        super().__init__()
        self.arrays, self.part = arrays, part_of_batch(BATCH, mk.distribution.current().process)

    def __len__(self):
        return STEPS

    def __getitem__(self, step):
        return {name: x[step * BATCH : (step + 1) * BATCH][self.part] for name, x in self.arrays.items()}


class Recorder(keras.callbacks.Callback):
    """The logs after each step: means over the epoch so far."""

    def on_train_begin(self, logs=None):
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append({name: float(value) for name, value in logs.items()})


def seed():
    """Another one in each process: training starts from the weights and the random state of the first one."""
    keras.utils.set_random_seed(RANK)


def tokenizer():
    return mk.VideoTokenizer(**TOKENIZER, embedding_dim=4, codebook_size=16)


def vqgan():
    seed()
    discriminator = mk.VideoDiscriminator(4, (1,), video_shape=(2, 4, 4))
    model = mk.VQGAN(
        tokenizer(),
        discriminator,
        perceptual_loss=None,
        ema_decay=0.9,
        lecam_weight=1.0,
        generator_only_steps=1,
        restart_codes_after=2,
    )
    # Adam divides a gradient by its own size. Where the terms of one cancel to 1e-5 among others of 0.05, rounding,
    # which differs between one device and four, is enough to move its weight by a fifth of a step more or less. An
    # epsilon above such rests lets the gradients themselves be compared; they agree to 1e-6.
    adam = keras.optimizers.Adam(1e-3, epsilon=1e-3)
    # The limit is below the norms of the batch's gradients: those of the parts, clipped, would have another mean.
    model.compile(adam, keras.optimizers.SGD(0.1, global_clipnorm=0.05), jit_compile=JIT)
    return model


def magvit():
    seed()
    transformer = mk.MaskedTransformer(
        16, num_classes=2, latent_shape=(2, 2, 2), num_layers=1, hidden_size=8, num_heads=2, mlp_dim=16, dropout=0.0
    )
    tasks = ["frame_prediction", "class_conditional_generation"]
    frozen = mk.VideoTokenizer(
        **{**TOKENIZER, "channel_multipliers": (1, 1), "temporal_downsample": (False,)},
        embedding_dim=4,
        codebook_size=16,
    )
    model = mk.Magvit(frozen, transformer, tasks, class_dropout=0.3)
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=0.05), jit_compile=JIT)
    return model


def trained(model, arrays):
    recorder = Recorder()
    model.fit(Batches(arrays), shuffle=False, verbose=0, callbacks=[recorder])
    weights = [ops.convert_to_numpy(w).tolist() for w in model.weights]
    return {"steps": recorder.steps, "weights": np.concatenate([np.ravel(w) for w in weights]).tolist()}


def trainings(kind):
    found = {"magvit": trained(magvit(), cached_tokens())}
    if kind == "model":
        return found
    adversarial = vqgan()
    found["vqgan"] = trained(adversarial, {"video": CLIPS})
    found["ids"] = ops.convert_to_numpy(adversarial.tokenizer.encode(CLIPS[:4])).tolist()
    if NAME == "jax":  # sees whole batches: nothing is put together
        return found
    broken = CLIPS.copy()
    broken[-1] = np.nan  # the last example of the last step, so that one replica alone meets it
    seed()
    plain = tokenizer()
    optimizer = keras.optimizers.SGD(0.3, global_clipnorm=0.1)
    plain.compile(keras.optimizers.LossScaleOptimizer(optimizer, 8.0), jit_compile=JIT, auto_scale_loss=False)
    plain.check_pixels = lambda pixels: None  # which would refuse them
    found["tokenizer"] = trained(plain, {"video": broken})
    found["scale"] = float(ops.convert_to_numpy(plain.optimizer.dynamic_scale))
    return found


def cached_tokens():
    tokens = np.random.default_rng(1).integers(0, 16, (len(CLIPS), 3, 2, 2, 2))
    return {"tokens": tokens[:, 0], "condition_tokens": tokens[:, 1:], "label": np.arange(len(CLIPS)) % 2}


def replica_values(fn):
    """What `fn` returns on each replica."""
    if NAME == "tensorflow":
        strategy = tf.distribute.get_strategy()
        return [x.numpy() for x in strategy.experimental_local_results(strategy.run(fn))]
    values = mk.distribution.current().gather({"x": ops.convert_to_numpy(fn())})
    return [x["x"] for x in values]


def uneven():
    """What `fit` says of data that the devices cannot share evenly."""
    model, arrays = magvit(), cached_tokens()

    def part(start, stop):
        return {name: x[start:stop] for name, x in arrays.items()}

    calls = {
        "arrays": lambda: model.fit(part(0, 6), batch_size=3, verbose=0),
        "held-out arrays": lambda: model.fit(
            part(0, 4), batch_size=4, validation_data=part(0, 6), verbose=0, validation_batch_size=3
        ),
        "split": lambda: model.fit(part(0, 12), batch_size=4, validation_split=0.4, verbose=0),
        "generator": lambda: model.fit((part(*ends) for ends in ((0, 4), (4, 7))), verbose=0),
        "data set": lambda: model.fit(tf_data(part(0, 7)), verbose=0),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    found["predicted"] = len(magvit().tokenizer.predict(CLIPS[:3], verbose=0))
    return found


def tf_data(arrays):
    """Batches of four, and what is left."""
    import tensorflow

    return tensorflow.data.Dataset.from_tensor_slices(arrays).batch(4)


def noise():
    """Draws of two replicas: for examples, and of dropout with and without a noise shape."""
    keras.utils.set_random_seed(0)
    generator = keras.random.SeedGenerator(5)
    whole = ops.convert_to_numpy(keras.random.uniform((4, 3), seed=keras.random.SeedGenerator(5)))
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5, noise_shape=(1, None))]
    )
    draw_apart(model)
    backend.distribution.synchronize(model.variables)
    dropped = [replica_values(lambda layer=layer: layer(ops.ones((1, 64)), training=True)) for layer in model.layers]
    return {
        "uniform": np.concatenate(replica_values(lambda: backend.uniform((2, 3), generator))).tolist(),
        "whole": whole.tolist(),
        "dropped": [[x.tolist() for x in values] for values in dropped],
    }


def merged_statistics(devices):
    rows = np.random.default_rng(2).normal(size=(7, 3))
    merged = devices.merged(FeatureStatistics(rows[devices.index :: devices.count]))
    return {"count": merged.count, "covariance": merged.covariance.tolist(), "of_all": np.cov(rows.T).tolist()}


def scores(name):
    """What a report says; None in all processes but the first."""
    keras.utils.set_random_seed(0)  # one model: the processes share its features
    frozen = mk.VideoTokenizer(4, (1, 1, 1), (True, False), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    transformer = mk.MaskedTransformer(16, 2, (4, 4, 4), num_layers=1, hidden_size=16, num_heads=2, mlp_dim=16)
    colours = keras.Sequential(
        [keras.Input((None, None, None, 3)), keras.layers.GlobalAveragePooling3D()], name="colours"
    )
    report = mk.evaluation.evaluate(
        mk.Magvit(frozen, transformer),
        "moving_shapes_mt10",
        pathlib.Path(os.environ["REPORTS"]) / name,
        networks={"distance": colours, "lpips": mk.metrics.LPIPS(width=1 / 16)},
        metrics=["fvd", "psnr", "lpips"],
        tasks=["frame_prediction"],
        reader={"num_clips": 6},
        video_shape=(8, 16, 16),
        samples=11,
        num_steps=1,
        batch_size=4,
        shard_clips=4,
        verbose=0,
    )
    return report and {entry["metric"]: entry["mean"] for entry in report["scores"]}


def layouts():
    """Which axes of the transformer's weights, and of what Adam keeps of them, the devices share."""
    model = magvit()
    model.optimizer.build(model.trainable_variables)
    variables = {v.path: v for v in model.transformer.variables}
    moments = {v.path: v for v in model.optimizer.variables}
    return {path: list(v.value.sharding.spec) for path, v in {**variables, **moments}.items()}


def main():
    found = {}
    if RANK == 0:
        environment = {name: os.environ.pop(name) for name in ("RANK", "WORLD_SIZE") if name in os.environ}
        found["none"] = {**trainings("none"), "scores": scores("none")}
        os.environ |= environment
    for kind in ("data", "model") if NAME == "jax" else ("data",):
        devices = mk.distribution.start(kind)
        found[kind] = {"devices": devices.batch_parts, **trainings(kind)}
        if kind == "model":
            found["layouts"] = layouts()
        elif NAME != "jax":
            found["noise"] = noise()
        found["arrays"] = {"given": GIVEN.tolist(), "left": CLIPS.tolist()}
        if kind == "data":
            found[kind]["scores"] = scores(kind)
            found["uneven"] = uneven() if NAME != "torch" else {}  # whose processes each have a batch of their own
        found["statistics"] = merged_statistics(devices)
        mk.distribution.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
