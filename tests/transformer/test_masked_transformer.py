import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.commit import losses
from magvit_keras.convert.flax import load_flax_params
from magvit_keras.convert.flax_names import transformer_paths
from magvit_keras.layers import token_embedding, transformer_block
from magvit_keras.transformer.masked_transformer import MaskedTransformer

CASES = ["bert_multitask", "bert_single"]


def build(ref, **kwargs):
    config = ref.config
    sizes = {name: config[name] for name in ("codebook_size", "num_classes", "latent_shape", "num_segments")}
    sizes |= {name: config[name] for name in ("num_layers", "hidden_size", "num_heads", "mlp_dim")}
    special = (2, 16) if config["multi_task"] else (1, 1)
    model = MaskedTransformer(**sizes, prefix_length=special[0], num_special_tokens=special[1], **kwargs)
    load_flax_params(model, ref.params())
    return model


def tiny(**kwargs):
    sizes = {"codebook_size": 16, "num_classes": 3, "latent_shape": (2, 2, 2), "num_layers": 2}
    sizes |= {"hidden_size": 8, "num_heads": 2, "mlp_dim": 16}
    return MaskedTransformer(**{**sizes, **kwargs})


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(0, 36, (3, 10)).astype("int32")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("prefix", ["", "all_ids/"])
def test_logits_equal_the_reference(reference, case, prefix):
    ref = reference(case)
    model = build(ref)
    # The reference's `all_ids` run has segment 0 everywhere, which is the default.
    segments = None if prefix else ref["segment_ids"]
    logits = model(ref[f"{prefix}token_ids"], segment_ids=segments)
    ref.assert_close(ops.convert_to_numpy(logits), f"{prefix}logits")


@pytest.mark.parametrize("case", CASES)
def test_codebook_logits_are_a_cut_of_all(reference, case):
    ref = reference(case)
    model = build(ref)
    cut = ops.convert_to_numpy(model.codebook_logits(ref["token_ids"], segment_ids=ref["segment_ids"]))
    expected = ref["logits"][:, model.prefix_length :, : model.codebook_size]
    np.testing.assert_allclose(cut, expected, rtol=0, atol=ref.atol("logits"))


class WithLoss(keras.Model):
    """The reference's loss on the codebook columns, so that one step of plain descent shows the gradients."""

    def __init__(self, transformer, ref):
        super().__init__()
        self.transformer = transformer
        self.labels, self.loss_weights = np.array(ref["loss/labels"]), np.array(ref["loss/weights"])
        self.built = True

    def call(self, inputs, training=None):
        # Without dropout: the reference's gradients are those of the deterministic network.
        return self.transformer(inputs["ids"], segment_ids=inputs["segments"], training=False)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        values = losses.cross_entropy(y_pred[..., : self.transformer.codebook_size], self.labels, 1e-4)
        return losses.weighted_mean(values, self.loss_weights)


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_the_reference(reference, case):
    ref = reference(case)
    transformer = build(ref)
    model = WithLoss(transformer, ref)
    rate = 1e4  # so that rounding the new weights does not hide the gradients
    model.compile(optimizer=keras.optimizers.SGD(rate), jit_compile=False)
    data = {"ids": ref["token_ids"], "segments": ref["segment_ids"]}
    model.train_on_batch(data, np.zeros((3, 1), "float32"))
    paths, params = transformer_paths(transformer), ref.params()
    keys = [key for key in ref if key.startswith("grad/")]
    assert keys
    for key in keys:
        path = key.removeprefix("grad/")
        after = ops.convert_to_numpy(paths[path]).reshape(params[path].shape)
        ref.assert_close((params[path] - after) / rate, key)


@pytest.mark.parametrize("case", CASES)
def test_flax_paths_are_the_references(reference, case):
    ref = reference(case)
    paths = transformer_paths(build(ref))
    assert set(paths) == set(ref.params())
    assert all(tuple(paths[path].shape) == value.shape for path, value in ref.params().items())


def num_parameters(layers, hidden, mlp):
    """The count for any depth from two shallow models: only the number of equal layers differs."""
    shallow = [
        MaskedTransformer(
            num_layers=depth,
            hidden_size=hidden,
            num_heads=hidden // 64,
            mlp_dim=mlp,
        ).count_params()
        for depth in (1, 2)
    ]
    return shallow[0] + (layers - 1) * (shallow[1] - shallow[0])


@pytest.mark.parametrize(
    ("layers", "hidden", "mlp", "expected"), [(12, 768, 3072, 87_314_294), (24, 1024, 4096, 305_584_246)]
)
def test_parameter_counts_are_the_papers(monkeypatch, layers, hidden, mlp, expected):
    for module in (token_embedding, transformer_block):  # the values do not count, and take long to draw
        monkeypatch.setattr(module, "bert_initializer", keras.initializers.Zeros)
    assert num_parameters(layers, hidden, mlp) == expected


def test_weights_exist_before_the_first_call():
    model = tiny()
    assert model.built
    assert len(model.trainable_weights) == len(transformer_paths(model))


def test_a_second_build_changes_nothing():
    model = tiny()
    before = [id(weight) for weight in model.weights]
    model.build((None, 10))
    assert [id(weight) for weight in model.weights] == before


def test_config_round_trips():
    arguments = {
        "codebook_size": 12,
        "num_classes": 2,
        "latent_shape": (1, 2, 2),
        "num_layers": 1,
        "hidden_size": 6,
        "num_heads": 3,
        "mlp_dim": 9,
        "dropout": 0.2,
        "attention_dropout": 0.3,
        "prefix_length": 1,
        "num_special_tokens": 1,
        "num_segments": 2,
    }
    config = MaskedTransformer(**arguments).get_config()
    assert {name: tuple(config[name]) if name == "latent_shape" else config[name] for name in arguments} == arguments
    assert MaskedTransformer.from_config(config).get_config() == config


def test_keras_file_round_trip(tmp_path, ids):
    model = tiny(num_segments=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(ids)), ops.convert_to_numpy(loaded(ids)))


def test_weights_file_round_trip(tmp_path, ids):
    model, other = tiny(), tiny()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(ids)), ops.convert_to_numpy(other(ids)))


def test_negative_ids_count_from_the_end(ids):
    model = tiny()
    negative = np.where(ids >= 20, ids - model.vocabulary_size, ids)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(ids)), ops.convert_to_numpy(model(negative)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_stays_near_and_returns_float32(ids, policy):
    model = tiny(dtype=policy)
    full = MaskedTransformer.from_config({**model.get_config(), "dtype": "float32"})
    full.set_weights(model.get_weights())
    logits = model(ids)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert all(keras.backend.standardize_dtype(weight.dtype) == "float32" for weight in model.weights)
    np.testing.assert_allclose(ops.convert_to_numpy(logits), ops.convert_to_numpy(full(ids)), atol=0.03)


def test_dropout_is_drawn_anew_and_only_in_training(ids):
    model = tiny(dropout=0.5)
    first, second = (ops.convert_to_numpy(model(ids, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(ops.convert_to_numpy(model(ids)), ops.convert_to_numpy(model(ids, training=False)))


def test_attention_dropout_is_shared_over_batch_and_heads():
    model = tiny(dropout=0.0, attention_dropout=0.5)
    same = np.tile(np.arange(10, dtype="int32"), (3, 1))
    logits = ops.convert_to_numpy(model(same, training=True))
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-6)
    assert np.abs(logits - ops.convert_to_numpy(model(same))).max() > 1e-5


def test_initial_weights_have_the_deviation_of_a_cut_normal():
    # A normal cut at two deviations has 0.8796 of its deviation: not rescaled to 0.02.
    kernel = ops.convert_to_numpy(tiny(hidden_size=64, mlp_dim=256).blocks[0].mlp_in.kernel)
    assert abs(kernel.std() / 0.02 - 0.8796) < 0.02


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"hidden_size": 9}, "does not divide"),
        ({"num_layers": 0}, "num_layers must be"),
        ({"latent_shape": (2, 2)}, "latent_shape"),
        ({"num_classes": -1}, "num_classes"),
    ],
)
def test_bad_sizes_raise(bad, message):
    with pytest.raises(ValueError, match=message):
        tiny(**bad)


def test_quantized_transformer_predicts_nearly_the_same_and_can_be_loaded(tmp_path):
    keras.utils.set_random_seed(0)
    model = MaskedTransformer(16, 2, (1, 4, 4), 1, 32, 2, 64)
    for weight in model.trainable_variables:
        weight.assign(weight * 5.0)  # as large as trained ones: those of a new model say nothing
    ids = np.arange(18, dtype="int32")[None] % 16
    before = ops.convert_to_numpy(model.codebook_logits(ids))
    model.quantize("int8")
    after = ops.convert_to_numpy(model.codebook_logits(ids))
    assert 0 < np.abs(after - before).max() < 0.1 * before.std()
    model.save_to_preset(tmp_path / "int8")
    loaded = MaskedTransformer.from_preset(tmp_path / "int8")
    assert loaded.quantized == "int8" and "int8" in {str(w.dtype) for w in loaded.weights}
    np.testing.assert_allclose(ops.convert_to_numpy(loaded.codebook_logits(ids)), after, atol=1e-5)


def test_other_quantizations_are_refused():
    with pytest.raises(ValueError, match="received mode='int4'"):
        MaskedTransformer(16, 2, (1, 4, 4), 1, 32, 2, 64).quantize("int4")
