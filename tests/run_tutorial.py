"""Runs a source of tutorials/ as a script, and then the solutions of its exercises, in one namespace.

MAGVIT_KERAS_FAST=1 MPLBACKEND=Agg python tests/run_tutorial.py 02_vector_quantization [--without-solutions]
"""

import pathlib
import re
import sys

TUTORIALS = pathlib.Path(__file__).resolve().parent.parent / "tutorials"


def solutions(text: str) -> list[str]:
    """The Python blocks inside <details> of the Markdown cells."""
    prose = "\n".join(re.sub(r"^# ?", "", line) for line in text.splitlines() if line.startswith("#"))
    folded = re.findall(r"^<details>.*?^</details>", prose, re.DOTALL | re.MULTILINE)
    return [block for part in folded for block in re.findall(r"^```python\n(.*?)^```", part, re.DOTALL | re.MULTILINE)]


def main(name: str, with_solutions: bool) -> None:
    """Runs the lesson and, unless told otherwise, its solutions."""
    path = TUTORIALS / f"{name}.py"
    text = path.read_text()
    names = {"__name__": "__main__"}
    exec(compile(text, str(path), "exec"), names)
    for number, block in enumerate(solutions(text) if with_solutions else (), 1):
        print(f"solution {number}", flush=True)
        exec(compile(block, f"{path}, solution {number}", "exec"), names)


if __name__ == "__main__":
    main(sys.argv[1], "--without-solutions" not in sys.argv)
