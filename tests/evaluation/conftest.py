"""A model and networks so small that every protocol can be run, and made data in every format."""

import keras
import pytest

import magvit_keras as mk
from magvit_keras.data.readers.samples import write_sample


@pytest.fixture(scope="session")
def magvit():
    keras.utils.set_random_seed(0)
    tokenizer = mk.VideoTokenizer(4, (1, 1, 1), (True, False), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    transformer = mk.MaskedTransformer(16, 2, (4, 4, 4), num_layers=1, hidden_size=16, num_heads=2, mlp_dim=16)
    return mk.Magvit(tokenizer, transformer)


@pytest.fixture(scope="session")
def colours():
    """An extractor: three features, the mean colours of a clip."""
    return keras.Sequential([keras.Input((None, None, None, 3)), keras.layers.GlobalAveragePooling3D()], name="colours")


@pytest.fixture(scope="session")
def networks(colours):
    classifier = keras.models.clone_model(colours)
    classifier.class_names = ["circle_orbit", "star_orbit", "ring_spin"]
    return {
        "distance": colours,
        "inception": colours,
        "lpips": mk.metrics.LPIPS(width=1 / 16),
        "classifier": classifier,
    }


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The folder of made data in a format, written on first use."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = write_sample(name, tmp_path_factory.mktemp(name), num_videos=2)
        return made[name]

    return folder
