import numpy as np
import pytest
from keras import ops

from magvit_keras.decoding.noise import clip_seeds, gumbel, hash_uniform, seed_from

U32 = np.uint32


def mix(x):
    x = (x ^ (x >> U32(16))) * U32(0x7FEB352D)
    x = (x ^ (x >> U32(15))) * U32(0x846CA68B)
    return x ^ (x >> U32(16))


def numpy_hash(seed, step, shape, stream=0):
    """The same hash in unsigned arithmetic, which is what int32 must amount to."""
    golden = U32(0x9E3779B9)
    seeds = mix(np.full(shape[0], seed & 0xFFFFFFFF, U32) + np.arange(shape[0], dtype=U32) * golden)
    key = mix(mix(seeds + U32(stream * 0xC2B2AE35 & 0xFFFFFFFF)) + U32(step * 0x85EBCA6B & 0xFFFFFFFF))[:, None]
    position = np.arange(np.prod(shape[1:]), dtype=U32)[None]
    bits = mix(mix(position * golden + key) ^ mix(key + golden)) >> U32(9)
    return ((bits.astype("float32") + np.float32(0.5)) * np.float32(2.0**-23)).reshape(shape)


@pytest.mark.parametrize(("seed", "step", "stream"), [(0, 0, 0), (1, 0, 0), (123456789, 11, 2), (2**31 - 1, 3, 1)])
def test_bits_equal_numpy(seed, step, stream):
    shape = (2, 5, 300)
    np.testing.assert_array_equal(
        np.asarray(hash_uniform(seed, step, shape, stream)), numpy_hash(seed, step, shape, stream)
    )


def test_a_compiled_loop_draws_the_same_bits():
    steps = ops.fori_loop(
        0,
        3,
        lambda step, x: ops.where(ops.arange(3)[:, None, None] == step, hash_uniform(5, step, (2, 40))[None], x),
        ops.zeros((3, 2, 40)),
    )
    for step in range(3):
        np.testing.assert_array_equal(np.asarray(steps)[step], numpy_hash(5, step, (2, 40)))


def test_numbers_are_uniform():
    u = np.sort(np.asarray(hash_uniform(7, 3, (4, 50000))).ravel())
    assert u[0] > 0 and u[-1] < 1
    # Kolmogorov-Smirnov at one in a thousand.
    distance = np.abs(u - (np.arange(u.size) + 0.5) / u.size).max()
    assert distance < 1.95 / np.sqrt(u.size)


def test_gumbel_has_its_mean_and_variance():
    g = np.asarray(gumbel(hash_uniform(1, 0, (2, 100000))))
    assert abs(g.mean() - 0.5772) < 0.01
    assert abs(g.var() - np.pi**2 / 6) < 0.03


def test_neighbouring_seeds_steps_and_streams_are_independent():
    draws = [
        np.asarray(hash_uniform(seed, step, (3, 2000), stream)).reshape(3, -1)
        for seed in (0, 1, 2)
        for step in (0, 1, 2)
        for stream in (0, 1)
    ]
    rows = np.concatenate(draws)  # 54 rows
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    # No row is another one shifted: hardly any number occurs twice.
    assert np.unique(rows).size > 0.99 * rows.size


def test_a_clip_does_not_depend_on_its_batch():
    whole = np.asarray(hash_uniform(9, 2, (6, 50)))
    parts = [hash_uniform(clip_seeds(9, 3, first=first), 2, (3, 50)) for first in (0, 3)]
    np.testing.assert_array_equal(whole, np.concatenate([np.asarray(part) for part in parts]))


def test_a_tensor_seed_equals_a_number():
    tensor = ops.convert_to_tensor(41, dtype="int32")
    np.testing.assert_array_equal(np.asarray(hash_uniform(tensor, 0, (2, 9))), np.asarray(hash_uniform(41, 0, (2, 9))))


@pytest.mark.parametrize("seed", [-1, 2**32, 2**40 + 3])
def test_any_python_int_is_a_seed(seed):
    assert np.asarray(hash_uniform(seed, 0, (1, 9))).shape == (1, 9)


def test_all_bits_of_a_seed_count():
    seeds = [0, 1, -1, -2, 2**40 + 5, 5, -(2**40) - 5, np.int64(2**41 + 5), np.uint8(7)]
    drawn = [np.asarray(hash_uniform(seed, 0, (1, 9))) for seed in seeds]
    assert len({tuple(numbers[0]) for numbers in drawn}) == len(seeds)


@pytest.mark.parametrize("seed", [-3, 2**40 + 5])
def test_a_seed_of_numpy_is_that_of_python(seed):
    np.testing.assert_array_equal(hash_uniform(np.int64(seed), 0, (1, 9)), hash_uniform(seed, 0, (1, 9)))


@pytest.mark.parametrize("seed", [7, -7, np.int64(-(2**40))])
def test_a_part_of_the_clips_has_a_seed_of_its_own(seed):
    np.testing.assert_array_equal(np.asarray(clip_seeds(seed, 5))[3:], np.asarray(clip_seeds(seed_from(seed, 3), 2)))
