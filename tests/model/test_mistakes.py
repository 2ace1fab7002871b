"""Natural mistakes: each is answered by a message of the library, and leaves a model that trains on."""

import pathlib
import warnings

import keras
import numpy as np
import pytest

from magvit_keras import VQGAN, Magvit, MaskedTransformer, VideoTokenizer
from magvit_keras.data import MovingShapes, TokenBatches, TokenShards
from magvit_keras.data.token_shards import Tokens
from magvit_keras.model.tokenizing import fingerprint
from magvit_keras.tokenizer.discriminator import VideoDiscriminator

RNG = np.random.default_rng(0)
CLIPS = RNG.integers(0, 256, (4, 4, 8, 8, 3), "uint8")
WRONG = CLIPS.astype("float32")  # 0..255
LABELS = np.array([0, 1, 2, 0])
DATA = {"video": CLIPS, "label": LABELS}
TOKENS = {
    "tokens": RNG.integers(0, 64, (4, 2, 4, 4)).astype("int32"),
    "condition_tokens": RNG.integers(0, 64, (4, 2, 2, 4, 4)).astype("int32"),
    "label": LABELS,
}
TASKS = ("frame_prediction", "class_conditional_generation")


class Batches(keras.utils.PyDataset):
    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def batches(*given):
    """A generator of these; one batch that is right comes before."""
    yield {"video": CLIPS[:2], "label": LABELS[:2]}
    yield from given


def small_tokenizer():
    return VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)


@pytest.fixture(scope="module")
def magvit():
    sizes = {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "mlp_dim": 64, "dropout": 0.0}
    made = Magvit(
        small_tokenizer(), MaskedTransformer(64, 3, (2, 4, 4), **sizes), TASKS, class_names=["circle", "ring", "star"]
    )
    made.compile(optimizer=keras.optimizers.Adam(1e-3))
    return made


@pytest.fixture(scope="module")
def vqgan(magvit):
    made = VQGAN(magvit.tokenizer, VideoDiscriminator(8, (2,), video_shape=(4, 8, 8)), perceptual_loss=None)
    made.compile()
    return made


def own_message(error):
    """Raised by the library itself, on purpose: not by NumPy, Keras or the backend on its way."""
    assert isinstance(error, ValueError | TypeError | AttributeError)
    frames = [entry.path for entry in pytest.ExceptionInfo.from_exception(error).traceback]
    assert "magvit_keras" in pathlib.Path(str(frames[-1])).parts, f"raised in {frames[-1]}"


FIT = {
    "clips in 0..255": ({"video": WRONG, "label": LABELS}, "Divide by 255"),
    "clips in -1..1": ({"video": WRONG / 127.5 - 1, "label": LABELS}, r"\(x \+ 1\) / 2"),
    "one clip": ({"video": CLIPS[0], "label": LABELS[:1]}, r"needs a batch axis"),
    "channels first": ({"video": np.moveaxis(CLIPS, -1, 1), "label": LABELS}, "channels last"),
    "clips that are not finite": ({"video": np.full((4, 4, 8, 8, 3), np.nan), "label": LABELS}, "not finite"),
    "a path": ("clips.mp4", "received the text 'clips.mp4'"),
    "a path as the clips": ({"video": "clips.mp4", "label": LABELS}, "read_video"),
    "a dict as the clips": ({"video": {"a": CLIPS}, "label": LABELS}, "received a dict with the keys a"),
    "a list as the clips": ({"video": list(CLIPS), "label": LABELS}, r"np.stack\(clips\)"),
    "lists in lists": (CLIPS.tolist(), "received a list of 4"),
    "a list of clips": (list(CLIPS), r"received a list of 4 arrays"),
    "two clips": ([CLIPS[0], CLIPS[1]], r"received a list of 2 arrays"),
    "a folder of clips": (MovingShapes(4, num_frames=4, size=(8, 8)), r"source.loader\(batch_size=8\)"),
    "a class": (dict, "fit reads arrays"),
    "nothing as the clips": ({"video": None, "label": LABELS}, 'needs the key "video" or "tokens"; received the keys'),
    "a generator function": (batches, r"fit\(batches\(\)\)"),
    "an empty generator": (iter(()), "not a single batch"),
    "no label": ({"video": CLIPS}, "need labels"),
    "labels of another length": ({"video": CLIPS, "label": LABELS[:3]}, r"each of the 4 clips"),
    "one label for all": ({"video": CLIPS, "label": 1}, r"each of the 4 clips"),
    "a label out of range": ({"video": CLIPS, "label": LABELS + 1}, r"in \[0, 3\).* received 1 to 3"),
    "a label between classes": ({"video": CLIPS, "label": LABELS + 0.5}, "whole numbers; received 0.5"),
    "a name that is no class": ({"video": CLIPS, "label": ["star", "ring", "cube", "ring"]}, "received 'cube'"),
    "bytes that are no class": ({"video": CLIPS, "label": [b"star", b"cube", b"ring", b"ring"]}, "received 'cube'"),
    "rows with two ones": ({"video": CLIPS, "label": np.ones((4, 3))}, "with a single 1"),
    "a set of labels": ({"video": CLIPS, "label": {0, 1, 2}}, "an array or a list of class numbers"),
    "a generator of labels": ({"video": CLIPS, "label": (i for i in LABELS)}, "an array or a list of class numbers"),
    "lists of labels": ({"video": CLIPS, "label": [[0, 1], [1]]}, "an array or a list of class numbers"),
    "a mistyped column": ({"clips": CLIPS, "label": LABELS}, 'needs the key "video" or "tokens"; received the keys'),
    "a later batch in 0..255": (batches({"video": WRONG[:2], "label": [0, 1]}), "Divide by 255"),
    "a later batch of another size": (batches({"video": CLIPS[:2, :2], "label": [0, 1]}), r"received \(2, 8, 8\)"),
    "a later batch of a data set": (Batches(DATA, {"video": WRONG, "label": LABELS}), "Divide by 255"),
    "texts in a data set": (Batches({**DATA, "path": np.array(["a", "b", "c", "d"])}), "'path' of the data set"),
    "names in a data set": (Batches({**DATA, "label": np.array(["star"] * 4)}), "'label' of the data set"),
    "rows in a data set": (Batches({**DATA, "label": np.eye(3)[LABELS]}), r"numbers \(batch,\)"),
    "tokens of another tokenizer": ({**TOKENS, "tokens": TOKENS["tokens"] + 1}, r"in \[0, 64\).* received 1 to 64"),
    "tokens below 0": ({**TOKENS, "condition_tokens": TOKENS["condition_tokens"] - 1}, "received -1 to 62"),
    "later tokens": (
        TokenBatches({**TOKENS, "tokens": np.concatenate([TOKENS["tokens"][:3], [np.full((2, 4, 4), 99)]])}, 2),
        "received 0 to 99",
    ),
    "shards of another tokenizer": (Tokens(TOKENS, "0" * 64), "of another tokenizer"),
    "tokens that are floats": ({**TOKENS, "tokens": TOKENS["tokens"] / 64}, "tokens must be integers"),
    "tokens of more clips than their conditions": (
        {**TOKENS, "condition_tokens": TOKENS["condition_tokens"][:3]},
        "tokens are of 4 clips",
    ),
    "tokens without conditions": ({"tokens": TOKENS["tokens"], "label": LABELS}, "Made by `tokenize` of this model"),
}
FIT_OPTIONS = {
    "held-out clips in 0..255": (
        {"validation_data": {"video": WRONG, "label": LABELS}},
        "validation_data: video must be",
    ),
    "held-out clips without labels": ({"validation_data": CLIPS}, "validation_data: The tasks .* need labels"),
    "a later held-out batch": (
        {"validation_data": batches({"video": WRONG[:2], "label": [0, 1]}), "validation_steps": 2},
        "validation_data: video must be",
    ),
    "held-out weights": ({"validation_data": (CLIPS, LABELS, np.ones(4))}, "validation_data: .* weighs all examples"),
    "half an epoch": ({"epochs": 1.5}, "epochs must be an integer of at least 1; received 1.5"),
    "no clip at a time": ({"validation_batch_size": 0}, "validation_batch_size must be an integer of at least 1"),
    "more than all held out": ({"validation_split": 2.0}, "validation_split must be .* at most 1; received 2.0"),
    "a mistyped option": ({"epoch": 2}, "fit got an unexpected keyword argument 'epoch'"),
    "weights of examples": ({"sample_weight": np.ones(4)}, "weighs all examples alike"),
}


@pytest.mark.parametrize("mistake", FIT)
def test_fit(magvit, mistake):
    data, message = FIT[mistake]
    with pytest.raises(ValueError, match=message) as raised:
        magvit.fit(data, batch_size=2, verbose=0)
    own_message(raised.value)


@pytest.mark.parametrize("mistake", FIT_OPTIONS)
def test_fit_with_options(magvit, mistake):
    options, message = FIT_OPTIONS[mistake]
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        magvit.fit(DATA, batch_size=2, verbose=0, **options)
    own_message(raised.value)


@pytest.mark.parametrize("name", ["evaluate", "tokenize", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize(
    "mistake", ["clips in 0..255", "a label out of range", "a set of labels", "a path as the clips"]
)
def test_what_reads_clips_and_labels_as_fit_does(magvit, name, mistake):
    data, message = FIT[mistake]
    with pytest.raises(ValueError, match=message) as raised:
        getattr(magvit, name)(data)
    own_message(raised.value)


CLASS = {"task": "class_conditional_generation", "num_steps": 1}
FRAME = {"task": "frame_prediction", "num_steps": 1}
GENERATE = {
    "a path": ({**FRAME, "video": "clip.mp4"}, "read_video"),
    "one clip": ({**FRAME, "video": CLIPS[0]}, "needs a batch axis"),
    "a number for the schedule": ({**CLASS, "label": 0, "schedule": 3}, "Unknown mask schedule '3'"),
    "a list of tasks": ({"task": ["frame_prediction"]}, r"Unknown task \['frame_prediction'\]"),
    "clips of several sizes": ({**FRAME, "video": [CLIPS[0], CLIPS[1, :2]]}, r"np.stack\(clips\)"),
    "clips in 0..255": ({**FRAME, "video": WRONG}, "Divide by 255"),
    "a set of labels": ({**CLASS, "label": {0, 1}}, "an array or a list of class numbers"),
    "a name that is no class": ({**CLASS, "label": ["ring", "cube"]}, "received 'cube'"),
    "bytes that are no class": ({**CLASS, "label": b"cube"}, "received 'cube'"),
    "an array of no axes": ({**CLASS, "label": np.array("cube")}, "received 'cube'"),
    "rows with two ones": ({**CLASS, "label": np.ones((2, 3))}, "with a single 1"),
    "no class": ({**CLASS, "label": [-1]}, r"in \[0, 3\); received -1"),
    "a number for the task": ({"task": 3}, "Unknown task 3"),
    "a temperature of NaN": ({**CLASS, "label": 0, "temperature": float("nan")}, "temperature must be a finite number"),
    "an infinite temperature": ({**CLASS, "label": 0, "token_temperature": np.inf}, "token_temperature must be"),
    "negative guidance": ({**CLASS, "label": 0, "guidance_scale": -1.0}, "guidance_scale must be .* at least 0"),
    "a text for a number": ({**CLASS, "label": 0, "temperature": "hot"}, "temperature must be"),
    "top_k below 1": ({**CLASS, "label": 0, "top_k": 0}, "Expected top_k"),
    "top_p of NaN": ({**CLASS, "label": 0, "top_p": float("nan")}, "Expected top_p"),
    "half a revision": ({**CLASS, "label": 0, "num_revisions": 0.5}, "num_revisions must be"),
    "steps of a text": ({**CLASS, "label": 0, "num_steps": "12"}, "num_steps must be an integer"),
    "a mask of other numbers": ({"video": CLIPS, "condition_mask": np.full((4, 8, 8), 0.5)}, "of 0 and 1"),
    "a mistyped option": ({**CLASS, "label": 0, "temprature": 1.0}, "unexpected keyword argument 'temprature'"),
}


@pytest.mark.parametrize("mistake", GENERATE)
def test_generate(magvit, mistake):
    options, message = GENERATE[mistake]
    with pytest.raises((ValueError, TypeError), match=message):
        magvit.generate(**options)


PRESETS = {
    "a typo": ("magvit_tiny_moving_shape", {}, "did you mean magvit_tiny_moving_shapes"),
    "a folder that is not there": ("runs/nowhere", {}, "'runs/nowhere'"),
    "a number": (3, {}, "takes a name, a folder"),
    "a mistyped argument": ("magvit_tiny_moving_shapes", {"class_droput": 0.1}, "no argument 'class_droput'"),
}


@pytest.mark.once
@pytest.mark.parametrize("mistake", PRESETS)
def test_from_preset(mistake):
    preset, options, message = PRESETS[mistake]
    with pytest.raises(ValueError, match=message) as raised:
        Magvit.from_preset(preset, **options)
    own_message(raised.value)


def test_fresh_weights_of_a_preset_are_named(monkeypatch):
    config = small_tokenizer().get_config()
    monkeypatch.setattr(VideoTokenizer, "_preset_table", {"small": {"description": "small", "config": config}})
    with pytest.warns(UserWarning, match="'small' comes without trained weights"):
        VideoTokenizer.from_preset("small")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VideoTokenizer.from_preset("small", load_weights=False)


PIXELS = [("call", WRONG), ("predict", WRONG), ("predict_on_batch", WRONG), ("encode", WRONG), ("fit", WRONG)]


@pytest.mark.parametrize(("name", "video"), PIXELS)
def test_tokenizers_look_at_pixels_everywhere(vqgan, name, video):
    for model in (vqgan.tokenizer, vqgan):
        if hasattr(model, name):
            with pytest.raises(ValueError, match="Divide by 255"):
                (model if name == "call" else getattr(model, name))(video)


@pytest.mark.parametrize("kind", [iter, lambda batches: Batches(*batches)], ids=["generator", "data set"])
def test_predict_looks_at_every_batch(vqgan, kind):
    with pytest.raises(ValueError, match="Divide by 255") as raised:
        vqgan.tokenizer.predict(kind([(CLIPS[:2] / np.float32(255),), (WRONG[:2],)]), verbose=0)
    own_message(raised.value)


def test_predict_reads_plain_arrays_of_a_generator(vqgan):
    assert vqgan.tokenizer.predict((clips for clips in (CLIPS[:2], CLIPS[2:])), verbose=0).shape == CLIPS.shape


def test_shards_of_this_tokenizer_are_taken(magvit):
    tokens = Tokens(TOKENS, fingerprint(magvit.tokenizer))
    assert np.isfinite(magvit.fit(TokenBatches(tokens, 2), verbose=0).history["loss"][0])


def test_names_and_rows_are_labels_as_numbers_are(magvit):
    read = [magvit.check_batch((CLIPS, label))["label"].tolist() for label in (LABELS, LABELS[:, None])]
    read += [
        magvit.check_batch((CLIPS, label))["label"].tolist() for label in (np.eye(3)[LABELS], LABELS.astype(float))
    ]
    for names in (["circle", "ring", "star", b"circle"], np.array(["circle", "ring", "star", "circle"])):
        read.append(magvit.check_batch((CLIPS, names))["label"].tolist())
    assert read == [LABELS.tolist()] * 6


def test_a_generator_may_yield_lists_and_plain_arrays(magvit, vqgan):
    def pairs():
        yield [CLIPS[:2], ["ring", "star"]]
        yield (CLIPS[:2], np.eye(3)[:2])

    assert np.isfinite(magvit.fit(pairs(), verbose=0).history["loss"][0])
    assert np.isfinite(vqgan.fit((clips for clips in (CLIPS[:2], CLIPS[2:])), verbose=0).history["g_loss"][0])


def test_a_list_of_clips_and_labels_is_read_as_the_two(magvit):
    assert np.isfinite(magvit.fit([CLIPS, LABELS], batch_size=2, verbose=0).history["loss"][0])


@pytest.mark.skipif(keras.config.backend() == "torch", reason="the look is the same, and TensorFlow starts slowly")
def test_later_batches_of_tf_data_are_looked_at(magvit):
    import tensorflow as tf

    before = magvit.get_weights()
    video = np.concatenate([np.full((2, 4, 8, 8, 3), 0.5), WRONG[:2]]).astype("float32")
    for data, message in (({"video": video, "label": LABELS}, "Divide by 255"), ({**DATA, "path": ["a"] * 4}, "texts")):
        with pytest.raises(ValueError, match=message) as raised:
            magvit.fit(tf.data.Dataset.from_tensor_slices(data).batch(2), verbose=0)
        own_message(raised.value)
    assert len(before) == len(magvit.get_weights())


def pytorch_loader(clips):
    """Batches of two, as dicts."""
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader([{"video": x, "label": y} for x, y in zip(clips, LABELS, strict=True)], 2)


def test_a_pytorch_loader_may_give_dicts(magvit):
    assert np.isfinite(magvit.fit(pytorch_loader(CLIPS), verbose=0).history["loss"][0])


def test_later_batches_of_a_pytorch_loader_are_looked_at(magvit):
    clips = np.concatenate([CLIPS[:2] / np.float32(255), WRONG[2:]])
    with pytest.raises(ValueError, match="Divide by 255") as raised:
        magvit.fit(pytorch_loader(clips), verbose=0)
    own_message(raised.value)


def test_columns_that_no_model_reads_do_no_harm(magvit):
    data = {**DATA, "path": np.array(["a", "b", "c", "d"]), "more": np.zeros(7)}
    assert np.isfinite(magvit.fit(data, batch_size=2, verbose=0).history["loss"][0])


def test_a_loader_with_other_classes(magvit):
    data = Batches(DATA)
    data.class_names = ["circle", "star"]
    with pytest.raises(ValueError, match="'star' would be trained as 'ring'") as raised:
        magvit.fit(data, verbose=0)
    own_message(raised.value)
    data.class_names = ["circle", "ring"]
    assert np.isfinite(magvit.fit(data, verbose=0).history["loss"][0])


def test_every_layer_frozen(magvit):
    magvit.trainable = False
    try:
        with pytest.raises(ValueError, match="every layer is frozen"):
            magvit.fit(DATA, verbose=0)
    finally:
        magvit.trainable = True


@pytest.mark.parametrize("part", ["tokenizer", "transformer"])
def test_a_part_is_not_replaced(magvit, part):
    other = small_tokenizer()
    with pytest.raises(AttributeError, match=f"The {part} of a Magvit cannot be replaced"):
        setattr(magvit, part, other)


@pytest.mark.parametrize("part", ["tokenizer", "discriminator", "ema_tokenizer"])
def test_a_part_of_the_adversarial_training_is_not_replaced(vqgan, part):
    with pytest.raises(AttributeError, match=f"The {part} of a VQGAN cannot be replaced"):
        setattr(vqgan, part, keras.layers.Dense(1))


def test_a_part_is_not_deleted(magvit):
    with pytest.raises(AttributeError, match="The tokenizer of a Magvit cannot be deleted"):
        del magvit.tokenizer


def test_a_block_in_the_place_of_another_is_saved(tmp_path):
    made = MaskedTransformer(64, 3, (2, 4, 4), num_layers=2, hidden_size=32, num_heads=2, mlp_dim=64)
    made.blocks[0] = made.blocks[1].from_config(made.blocks[1].get_config())
    made.blocks[0].build((None, None, 32))
    made.save(tmp_path / "made.keras")
    kept = keras.saving.load_model(tmp_path / "made.keras")
    for old, new in zip(made.blocks[0].get_weights(), kept.blocks[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_shards_in_the_place_of_their_arrays(magvit, tmp_path):
    with pytest.raises(ValueError, match=r"received a TokenShards\. Its arrays are what its read\(\) returns"):
        magvit.fit(TokenShards(tmp_path), verbose=0)


def test_two_optimizers_are_not_replaced_by_one(vqgan):
    with pytest.raises(AttributeError, match="A VQGAN has two optimizers; received Adam as its one"):
        vqgan.optimizer = keras.optimizers.Adam()


def test_what_a_discriminator_is_given(vqgan):
    shape = (2, *vqgan.discriminator.input_size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    with pytest.raises(ValueError, match=r"x must be in \[0, 1\].* Divide by 255"):
        vqgan.discriminator(clips.astype("float32"))
    logits = [keras.ops.convert_to_numpy(vqgan.discriminator(x)) for x in (clips, clips / np.float32(255))]
    np.testing.assert_allclose(*logits, rtol=1e-5)


@pytest.mark.parametrize("part", ["tokenizer", "discriminator"])
def test_lists_in_the_place_of_arrays(vqgan, part):
    with pytest.raises(ValueError, match=r"must be an array .*received a list") as raised:
        getattr(vqgan, part)(CLIPS.tolist())
    own_message(raised.value)


def test_weights_that_were_cut_off(magvit, tmp_path):
    path = tmp_path / "model.weights.h5"
    magvit.save_weights(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(OSError, match=r"model.weights.h5': the file is cut off or damaged"):
        magvit.load_weights(path)


@pytest.mark.parametrize("name", ["model.h5", "model.HDF5"])
def test_a_format_that_could_not_be_loaded_is_not_written(magvit, tmp_path, name):
    with pytest.raises(ValueError, match=r"saved whole as a \.keras file"):
        magvit.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_weights_and_training_are_there_after_all_that(magvit):
    """Runs last: the model has met every mistake above."""
    assert all(np.isfinite(weight).all() for weight in magvit.get_weights())
    assert np.isfinite(magvit.fit(DATA, batch_size=2, verbose=0).history["loss"][0])
