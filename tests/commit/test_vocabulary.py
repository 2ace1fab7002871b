import numpy as np
import pytest

from magvit_keras.commit.tasks import TASKS
from magvit_keras.commit.vocabulary import Vocabulary


def test_rows_follow_the_paper():
    vocabulary = Vocabulary(1024, 101)
    assert vocabulary.size == 1024 + 102 + 16
    assert vocabulary.mask_id == 1141
    assert vocabulary.no_class_id == 1125
    assert vocabulary.prefix_length == 2


def test_single_task_layout_has_mask_only():
    vocabulary = Vocabulary(1024, 101, num_special_tokens=1)
    assert (vocabulary.size, vocabulary.mask_id, vocabulary.prefix_length) == (1127, 1126, 1)
    with pytest.raises(ValueError, match="no task prompts"):
        vocabulary.prompt_id("frame_prediction")


def test_every_task_has_its_own_prompt():
    vocabulary = Vocabulary(8, 2)
    prompts = [vocabulary.prompt_id(name) for name in (*TASKS, "custom")]
    assert len(set(prompts)) == 11
    taken = {vocabulary.mask_id, vocabulary.size - 2, vocabulary.size - 15}
    assert not taken & set(prompts)
    assert all(vocabulary.no_class_id < prompt < vocabulary.size for prompt in prompts)


@pytest.mark.parametrize(
    ("task", "slot"),
    [
        ("class_conditional_generation", -3),
        ("frame_prediction", -4),
        ("class_conditional_frame_prediction", -4),
        ("frame_interpolation", -5),
        ("central_outpainting", -6),
        ("dynamic_inpainting", -6),
    ],
)
def test_official_layout_shares_prompts(task, slot):
    vocabulary = Vocabulary(1024, 0, layout="official")
    assert vocabulary.prompt_id(task) == vocabulary.size + slot


def test_unknown_task_lists_the_known_ones():
    with pytest.raises(ValueError, match="frame_interpolation"):
        Vocabulary(8, 2).prompt_id("colorization")


def test_labels_may_be_whole_floats():
    assert np.asarray(Vocabulary(8, 3).class_ids(np.array([0.0, 2.0]))).tolist() == [8, 10]


def test_labels_between_two_classes_are_refused():
    with pytest.raises(ValueError, match=r"whole numbers; received 0\.5"):
        Vocabulary(8, 3).class_ids(np.array([1.0, 0.5]))


def test_class_ids_come_after_the_codes():
    ids = np.asarray(Vocabulary(8, 3).class_ids(np.array([0, 2, -1])))
    assert ids.tolist() == [8, 10, 11]
    assert ids.dtype == np.int32


@pytest.mark.parametrize("label", [3, -2])
def test_label_out_of_range_raises(label):
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        Vocabulary(8, 3).class_ids([0, label])


def test_prefix_is_prompt_then_class():
    vocabulary = Vocabulary(8, 3)
    assert np.asarray(vocabulary.prefix(np.array([20, 21]), np.array([8, 9]))).tolist() == [[20, 8], [21, 9]]
    single = Vocabulary(8, 3, num_special_tokens=1)
    assert np.asarray(single.prefix(None, np.array([8, 9]))).tolist() == [[8], [9]]


def test_bad_sizes_raise():
    with pytest.raises(ValueError, match="codebook_size"):
        Vocabulary(0, 3)
    with pytest.raises(ValueError, match="num_special_tokens"):
        Vocabulary(8, 3, num_special_tokens=4)
    with pytest.raises(ValueError, match="distinct, official"):
        Vocabulary(8, 3, layout="other")
