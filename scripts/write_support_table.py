"""The README's table of what is supported on which backend, from the results of the last `make test`.

    make test
    python scripts/write_support_table.py

A cell says how many tests of that part passed on the backend, and how many failed where some did. Tests marked `once`
count where their parameters name the backend that they start; the others need none. Results of a part of the tests are
refused.
"""

import datetime
import os
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "tests"
NOT_TESTED = "not tested"
BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
#: What a user knows it as, and the modules of tests (by the beginning of their names) that show it.
PARTS = {
    "Tokenizers: 3D-VQ, 2D-VQ, LFQ, FSQ, inflation": ("tests.tokenizer.", "tests.layers."),
    "Adversarial training: R1, LeCam, averages": ("tests.tokenizer.test_vqgan", "tests.tokenizer.test_discriminator"),
    "Masked transformer": ("tests.transformer.",),
    "COMMIT: ten tasks, masks, losses": ("tests.commit.", "tests.test_magvit"),
    "Decoding: Algorithm 1, MaskGIT, autoregressive": ("tests.decoding.",),
    "Metrics: FVD, IS, KVD, LPIPS, PSNR, SSIM": ("tests.metrics.", "tests.evaluation."),
    "Training runs and the command line": (
        "tests.test_cli",
        "tests.test_run",
        "tests.test_recipe_run",
        "tests.callbacks",
    ),
    "Data: videos, data sets, token caches": ("tests.data.",),
    "Presets, sharing, conversion": ("tests.presets.", "tests.convert."),
    "Several devices": ("tests.test_distribution",),
}
BEGIN, END = "<!-- support table: scripts/write_support_table.py -->", "<!-- end of the support table -->"


def results(path: pathlib.Path, backend: str | None = None) -> list[tuple[str, bool]]:
    """(module, passed) of each test in a JUnit file not skipped, or of those whose parameters name a backend."""
    cases = [
        case
        for case in ElementTree.parse(path).iter("testcase")
        if backend is None or re.search(rf"[\[-]{backend}[\]-]", case.get("name"))
    ]
    kinds = [(case.get("classname"), {child.tag for child in case}) for case in cases]
    return [(name, not found & {"failure", "error"}) for name, found in kinds if "skipped" not in found]


def cell(found: list[tuple[str, bool]], prefixes: tuple[str, ...]) -> str:
    passed = [good for name, good in found if name.startswith(prefixes)]
    failed = passed.count(False)
    return f"{passed.count(True)} passed" + (f", {failed} failed" if failed else "") if passed else NOT_TESTED


def table(found: dict[str, list[tuple[str, bool]]], day: str) -> str:
    """The table in Markdown."""
    lines = [f"| | {' | '.join(BACKENDS.values())} |", "|---|---|---|---|"]
    lines += [f"| {part} | {' | '.join(cell(found[b], names) for b in BACKENDS)} |" for part, names in PARTS.items()]
    note = (
        f"Tests that passed in `make test`, {day}, Linux, two CPU cores; written by `scripts/write_support_table.py`."
    )
    return "\n".join([*lines, "", note])


def main(results_folder: pathlib.Path = RESULTS, readme: pathlib.Path = ROOT / "README.md") -> None:
    files = {name: results_folder / f"{name}.xml" for name in (*BACKENDS, "once")}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        sys.exit(f"No {', '.join(missing)}: run `make test` first.")
    found = {backend: results(files[backend]) + results(files["once"], backend) for backend in BACKENDS}
    untested = [part for part, names in PARTS.items() if all(cell(f, names) == NOT_TESTED for f in found.values())]
    if untested:
        sys.exit(f"Not the results of a whole `make test`: nothing was tested of {'; '.join(untested)}.")
    newest = max(path.stat().st_mtime for path in files.values())
    text = table(found, datetime.date.fromtimestamp(newest).isoformat())
    old = readme.read_text()
    if not (BEGIN in old and END in old):
        sys.exit(f"{readme} has lost the lines {BEGIN} and {END}, between which the table is written.")
    beside = readme.with_suffix(".new")
    beside.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{text}\n{END}", old, flags=re.DOTALL))
    os.replace(beside, readme)


if __name__ == "__main__":
    main()
