"""The benchmarks' own arithmetic, and that a GPU benchmark runs where there is no GPU."""

import importlib
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.once

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Imports a benchmark by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def run(name, *arguments):
    command = [sys.executable, str(FOLDER / name), *arguments]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_gpu_table_is_made_of_a_tiny_model_on_any_device():
    page = FOLDER.parent / "docs" / "performance.md"
    before = page.read_text()
    options = ["--sizes", "tiny", "--backends", "jax", "--precisions", "mixed_bfloat16", "--batches", "2"]
    done = run("gpu.py", *options, "--any-device")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| jax"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["jax", "tiny", "bfloat16", "2"]
    assert float(cells[4]) > 0
    assert float(cells[7]) == pytest.approx(float(cells[4]) / float(cells[6]), abs=0.01)
    assert page.read_text() == before


def test_without_a_gpu_it_says_so():
    done = run("gpu.py", "--sizes", "tiny", "--backends", "jax")
    assert done.returncode != 0
    assert "sees no GPU" in done.stderr


MEASURED = {"frames": 16, "seconds": 1.0, "rate": 1e5, "flop": 1e12, "bytes": None, "heading": "here."}


@pytest.fixture
def gpu(module, monkeypatch):
    """benchmarks/gpu.py called with arguments, whose cells are given: (stopped with, the page's part)."""
    gpu = module("gpu")

    def call(cell, *arguments):
        written = []
        monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
        monkeypatch.setattr(gpu, "in_process", cell)
        monkeypatch.setattr(gpu, "write_part", lambda name, text: written.append(text))
        try:
            gpu.main()
        except SystemExit as stopped:
            return stopped.code, written
        return None, written

    return call


def cell(backend, asked, **environment):
    size, dtype, batch, _ = asked
    if (size, dtype, batch) == ("L", "float32", 8):
        raise RuntimeError("failed:\nTraceback\n  x()\ntorch.OutOfMemoryError: 9 | 8 GB\nremark: none\n")
    return {**MEASURED, "precision": "tf32" if dtype == "float32" else "bfloat16"}


def test_a_row_that_fails_says_so_and_the_others_stay(gpu):
    stopped, (page,) = gpu(cell)
    assert stopped is None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "| L |" in line]
    assert len(rows) == 8 and {len(row) for row in rows} == {9}
    failed = [row for row in rows if "failed" in row[4]]
    assert [row[:5] for row in failed] == [
        [name, "L", "tf32", "8", "failed: torch.OutOfMemoryError: 9 / 8 GB"] for name in ("jax", "torch")
    ]


@pytest.mark.parametrize(
    "arguments", [["--backends", "torch"], ["--sizes", "B"], ["--batches", "1", "16"], ["--any-device"]]
)
def test_a_part_of_the_gpu_table_is_only_printed(gpu, capsys, arguments):
    assert gpu(cell, *arguments) == (None, [])
    assert "| torch | B | tf32 | 1 | 16.0 |" in capsys.readouterr().out


def test_a_backend_without_a_gpu_leaves_the_page_as_it_is(gpu):
    def without(*backends):
        def found(backend, asked, **environment):
            if backend in backends:
                raise RuntimeError(f"failed:\n{backend} sees no GPU here")
            return cell(backend, asked)

        return found

    assert gpu(without("jax")) == (None, [])
    assert gpu(without("jax", "torch")) == ("Every row failed, the last one so: torch sees no GPU here", [])


def test_memory_is_the_models_and_float32_on_a_gpu_is_tf32(module, monkeypatch):
    import magvit_keras as mk
    from magvit_keras.devices import hardware

    gpu, order = module("gpu"), []

    class Model:
        tokenizer = transformer = type("Part", (), {"get_config": dict})

        def generate(self, *task, **options):
            order.append("generate")
            return np.zeros((1, 4, 8, 8, 3))

    monkeypatch.setattr(mk.Magvit, "from_preset", lambda *name, **options: Model())
    monkeypatch.setattr(hardware, "accelerators", lambda backend: ["H200"])
    monkeypatch.setattr(gpu, "operations", lambda *about: 1.0)
    monkeypatch.setattr(gpu, "use_tf32", lambda backend: order.append("tf32") or True)
    monkeypatch.setattr(gpu, "peak_bytes", lambda: order.append("memory"))
    monkeypatch.setattr(gpu, "product_rate", lambda *about: order.append("product"))
    try:
        assert gpu.measure("tiny", "float32", 1, False)["precision"] == "tf32"
    finally:
        keras.config.enable_traceback_filtering()
    assert order == ["tf32", *["generate"] * (1 + gpu.REPEATS), "memory", "product"]


def test_tf32_is_for_gpus_and_for_every_product(module, monkeypatch):
    jax, torch = (pytest.importorskip(name) for name in ("jax", "torch"))
    use_tf32 = module("gpu").use_tf32
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags], jax.config.jax_default_matmul_precision
    try:
        assert (use_tf32("jax"), use_tf32("torch")) == (jax.default_backend() == "gpu", torch.cuda.is_available())
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        assert use_tf32("jax")
        assert jax.config.jax_default_matmul_precision == "tensorfloat32"
        assert [flag.allow_tf32 for flag in flags] == [True, True]
    finally:
        for flag, value in zip(flags, before[0], strict=True):
            flag.allow_tf32 = value
        jax.config.update("jax_default_matmul_precision", before[1])


def test_operations_of_a_clip_are_those_that_xla_counts(module):
    from magvit_keras.presets.transformers import MAGVITS

    tokenizer, transformer = (MAGVITS["magvit_base_ucf101_cg"]["config"][name] for name in ("tokenizer", "transformer"))
    found = module("gpu").operations(tokenizer["config"], transformer["config"], (16, 128, 128))
    assert found == pytest.approx((12 * 217.4 + 684.6) * 1e9, rel=0.03)


def test_goals_are_told_from_the_numbers(module):
    goals = module("run").goals
    shares = {("jax", "encode"): 0.8, ("torch", "encode"): 0.5, ("jax", "decode"): 1.0, ("jax", "generate"): 1.2}
    rows = [{"backend": b, "program": p, "share": share} for (b, p), share in shares.items()]
    encode, _, generate = goals(rows)
    assert encode == (
        "- encode: 0.80 on jax, the best backend; the goal was 0.75: reached. "
        "At least 0.6 on each backend: missed by torch 0.50."
    )
    assert "3.5 times as fast as at the Flax code's rates" in generate
    assert "at the products' own rate, it would be 2.9." in generate  # of 0.35, that of the Flax code


def test_exponent_of_a_power(module):
    sizes = [1, 2, 4, 8]
    assert module("scaling").exponent(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5)


def test_a_part_of_the_page_is_replaced_and_the_rest_stays(module, tmp_path, monkeypatch):
    page = module("page")
    path = tmp_path / "page.md"
    path.write_text("# A\n<!-- one: by x -->\nold\n<!-- end -->\nB\n<!-- two: by y -->\nstays\n<!-- end -->\n")
    monkeypatch.setattr(page, "PAGE", path)
    page.write_part("one", page.table(["a", "b"], [["x", "1"]]))
    text = path.read_text()
    assert "| a | b |\n| --- | ---: |\n| x | 1 |\n<!-- end -->\nB" in text
    assert "stays" in text
    page.write_part("two", "2026-01-01, here.\n2026-01-02, there.\nIt took long.")
    assert "2026-01-01, here.<br>\n2026-01-02, there.<br>\nIt took long.\n<!-- end -->" in path.read_text()
    with pytest.raises(ValueError, match="no part"):
        page.write_part("three", "")


def test_rows_of_backends_that_are_not_measured_stay(module, tmp_path, monkeypatch):
    page = module("page")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    about = "2026-01-01, Keras 3, jax 1; here.<br>\n2026-01-02, Keras 3, torch 2; there."
    rows = [["step", "jax", "1"], ["step", "torch", "2"]]
    text = f"{page.table(['of', 'backend', 'seconds'], rows, text_columns=2)}\n\n{about}"
    page.PAGE.write_text(f"<!-- one: by x -->\n{text}\n<!-- end -->\n| not | torch | 3 |\n")
    assert page.kept_rows("one", ["jax"], column=1) == ([rows[1]], {"2026-01-02, Keras 3, torch 2; there."})


def test_scaling_table_names_the_ends_of_each_axis(module):
    scaling = module("scaling")
    places = [(4, 16, 1), (8, 16, 1)]
    text = scaling.as_table({"frames": places}, {"encode": {places[0]: [1.0, 1e6], places[1]: [2.0, 4e6]}})
    assert text.splitlines()[-1] == "| encode | frames | 4 to 8 | 1.00 to 2.00 | 1.00 | 1 to 4 | 2.00 |"
    assert np.isfinite(scaling.exponent([4, 8], [1.0, 2.0]))


def test_the_tpu_table_counts_every_step_of_generate(module):
    tpu = module("tpu_compile")
    name = "B {} mixed_bfloat16 batch 8 remat none v5e"
    found = {
        name.format("transformer"): {"flops": 2.0, "bytes": 3.0, "total": 4.0},
        name.format("generate"): {"flops": 10.0, "bytes": 20.0, "total": 5.0},
    }
    row = tpu.ROWS[name.format("generate")]
    assert tpu.counted(row, found) == {"flops": 10.0 + 11 * 2.0, "bytes": 20.0 + 11 * 3.0, "total": 5.0}


def test_the_tpu_table_says_what_is_missed_and_missing(module):
    tpu = module("tpu_compile")
    encode, decode = (f"B {name} mixed_bfloat16 batch 8 remat none v5e" for name in ("encode", "decode"))
    found = {encode: {"bytes": 8.0e9, "total": 2e9}, decode: {"bytes": 10e9, "total": 17e9}}
    text = " ".join([*tpu.goals(found), *tpu.missing(found)])
    assert "encode in bfloat16 8.0 GB, 0.49 of it: reached; decode in bfloat16 10.0 GB, 0.52 of it: missed" in text
    assert f"More than the chip holds: {decode}." in text
    assert "L generate" in text
    assert encode not in text
