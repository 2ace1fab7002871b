"""Weight files of other frameworks are read without them, and nothing in them is run."""

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from magvit_keras.convert.files.flax_files import read_msgpack
from magvit_keras.convert.files.weight_files import _rebuild_tensor, read_safetensors, read_state_dict, read_torch

pytestmark = pytest.mark.once


def pack(value):
    """MessagePack as Flax writes it, in the widest and in the shortest forms that occur."""
    if isinstance(value, dict):
        head = bytes([0x80 | len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))
        return head + b"".join(pack(k) + pack(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return bytes([0x90 | len(value)]) + b"".join(pack(v) for v in value)
    if isinstance(value, str):
        raw = value.encode()
        return (bytes([0xA0 | len(raw)]) if len(raw) < 32 else b"\xd9" + bytes([len(raw)])) + raw
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd2" + struct.pack(">i", value)
    if isinstance(value, complex):
        return extension(2, (value.real, value.imag))
    code = 3 if isinstance(value, np.generic) else 1
    return extension(code, (list(value.shape), value.dtype.name, value.tobytes()))


def extension(code, value):
    raw = pack(value)
    return b"\xc9" + struct.pack(">I", len(raw)) + bytes([code]) + raw


def test_msgpack(tmp_path):
    array = np.arange(6, dtype="float32").reshape((2, 3))
    tree = {"params": {f"layer_{i}_with_a_name_of_more_than_32_letters": {"kernel": array + i} for i in range(20)}}
    (tmp_path / "file").write_bytes(pack({**tree, "step": 300_000, "rate": 0.5, "negative": -7, "shape": [1, 2]}))
    read = read_msgpack(tmp_path / "file")
    assert (read["step"], read["rate"], read["negative"], read["shape"]) == (300_000, 0.5, -7, [1, 2])
    np.testing.assert_array_equal(read["params"]["layer_19_with_a_name_of_more_than_32_letters"]["kernel"], array + 19)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_msgpack_that_ends_early(tmp_path, cut):
    (tmp_path / "file").write_bytes(pack({"kernel": np.zeros((4, 4), "float32")})[:-cut])
    with pytest.raises(ValueError, match="ends early"):
        read_msgpack(tmp_path / "file")


def test_msgpack_with_objects_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"\x81" + pack("x") + extension(1, ([1], "object", b"12345678")))
    with pytest.raises(ValueError, match="objects"):
        read_msgpack(tmp_path / "file")


def test_msgpack_of_every_type_that_flax_writes(tmp_path):
    array = np.arange(6, dtype="float32").reshape((2, 3))
    half = (array.view("uint32") >> 16).astype("uint16")  # bfloat16: exact for small integers
    tree = {"scalar": np.float32(2.5), "complex": 1 - 2j, "nothing": None, "yes": True, "no": False, "empty": {}}
    pieces = {"shape": {"0": 2, "1": 3}, "chunks": {"0": array.ravel()[:4], "1": array.ravel()[4:]}}
    tree["pieces"] = {"__msgpack_chunked_array__": True, **pieces}
    content = pack(tree)
    assert content[0] == 0x87
    half = pack("half") + extension(1, ([2, 3], "bfloat16", half.tobytes()))
    (tmp_path / "file").write_bytes(b"\x88" + content[1:] + half)
    read = read_msgpack(tmp_path / "file")
    np.testing.assert_array_equal(read.pop("pieces"), array)
    np.testing.assert_array_equal(read.pop("half"), array)
    del tree["pieces"]
    assert read == tree and read["scalar"].dtype == "float32"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (extension(1, ([2, 3], "float32", b"1234")), r"array of float32 \(2, 3\) in 4 bytes"),
        (extension(1, ([10**9, 10**9], "float32", b"1234")), "in 4 bytes"),
        (extension(1, ([-1], "float32", b"1234")), "in 4 bytes"),
        (extension(1, ([1], "no type", b"1234")), "is not a Flax file"),
        (extension(9, 1), "extension type 9"),
        (pack({"__msgpack_chunked_array__": True, "shape": {"0": 9}, "chunks": {"0": np.zeros(2)}}), "2 numbers for"),
        (pack({"__msgpack_chunked_array__": True, "shape": {"1": 9}}), "pieces that do not fit"),
        (b"\x81\xa1a" * 10**5 + b"\x00", "recursion"),
    ],
)
def test_msgpack_with_sizes_that_do_not_fit(tmp_path, content, message):
    (tmp_path / "file").write_bytes(b"\x81" + pack("x") + content)
    with pytest.raises(ValueError, match=message):
        read_msgpack(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", pack([1, 2]), b"model_checkpoint_path: 'x'"])
def test_other_files_are_no_flax_files(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="Flax file"):
        read_msgpack(tmp_path / "file")


def test_safetensors(tmp_path):
    array = np.arange(6, dtype="float32").reshape((2, 3))
    half = (array.view("uint32") >> 16).astype("uint16")  # bfloat16: exact for small integers
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [24, 36]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(text)) + text + array.tobytes() + half.tobytes())
    for read in (read_safetensors(tmp_path / "file"), read_state_dict(tmp_path / "file")):
        np.testing.assert_array_equal(read["a"], array)
        np.testing.assert_array_equal(read["b"], array)


def test_torch_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "whole": base,
        "view": base[:, 1:, ::2],
        "transposed": base.permute(2, 0, 1),
        "half": base.to(torch.bfloat16),
        "ids": torch.arange(3),
        "parameter": torch.nn.Parameter(base),
        "empty": torch.zeros(0, 3),
    }
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "file.pt")
    read = read_state_dict(tmp_path / "file.pt")
    assert read["epoch"] == 3
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read["state_dict"][name], tensor.detach().float().numpy(), err_msg=name)


class Attack:
    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_torch_file_runs_nothing(tmp_path):
    """A checkpoint may hold a trainer's objects, or worse: their place is taken, their code is not run."""
    attack = Attack()
    attack.folder = str(tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"evil": attack, "path": tmp_path, "fine": 1}, protocol=2))
    assert read_torch(tmp_path / "file.pt")["fine"] == 1
    assert not (tmp_path / "made").exists()


def test_code_that_torchscript_packs_does_not_count_as_damage(tmp_path):
    torch = pytest.importorskip("torch")

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.arange(3.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(3):
                x = x * self.weight if x.sum() > 0 else x + self.weight
            return x

    traced = torch.jit.trace(torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(60))), torch.ones(1, 2))
    for name, module in {"traced": traced, "scripted": torch.jit.script(Scaled())}.items():
        module.save(tmp_path / f"{name}.pt")
        with zipfile.ZipFile(tmp_path / f"{name}.pt") as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        packed = claimed > (tmp_path / f"{name}.pt").stat().st_size
        assert packed == (name == "traced")
        assert {"traced": "59", "scripted": "weight"}[name] in read_state_dict(tmp_path / f"{name}.pt")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"neither a .safetensors file nor a PyTorch file"):
        read_state_dict(tmp_path / "file")


def test_a_tensor_that_repeats_a_number_without_end_is_refused():
    with pytest.raises(ValueError, match="outside its storage"):
        _rebuild_tensor(np.zeros(1, "float32"), 0, (10**15,), (0,))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"readme": b"x"}, "no data.pkl"),
        ({"data.pkl": pickle.dumps({"x": 1})[:-3]}, "damaged"),
        ({"data.pkl": pickle.dumps({"x": 1}), "data/0": bytes(10**6)}, "claims 10000"),
    ],
)
def test_damaged_torch_files_are_named(tmp_path, members, message):
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"a/{name}", content)
    with pytest.raises(ValueError, match=f"file.pt.*{message}"):
        read_state_dict(path)


def test_other_damaged_files_are_named(tmp_path):
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04" + bytes(40))
    (tmp_path / "long.safetensors").write_bytes(struct.pack("<Q", 10**15) + b"{}")
    for name in ("cut.pt", "long.safetensors"):
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            read_state_dict(tmp_path / name)
