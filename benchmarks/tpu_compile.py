"""What the TPU compiler makes of the programs, on a machine without a TPU: memory, work and traffic on one chip.

    pip install libtpu                                       # the compiler; Linux on x86, about 590 MB
    python benchmarks/tpu_compile.py --list                  # the rows, and which are done
    python benchmarks/tpu_compile.py                         # compiles what is missing, then writes docs/performance.md
    python benchmarks/tpu_compile.py --rows "B encode"       # those whose name starts so

A row is one program compiled for one chip; each compiles in a process of its own, which takes minutes, and its numbers
are kept in benchmarks/tpu_compile.json, so that the command goes on where it stopped. Nothing is run: the compiler
says how much memory a program holds, how many operations it does and how many bytes it moves. The roofline time is the
larger of operations over the chip's peak and bytes over its bandwidth; no program is faster than that.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

from page import table, write_part
from tpu_programs import CHIPS, ROWS, STEPS, Row, program_of

RESULTS = pathlib.Path(__file__).with_suffix(".json")
#: Temporary memory and bytes moved in GB: what the same compiler says of the authors' code.
FLAX = {"encode": (3.49, 16.4), "decode": (3.29, 19.2), "transformer": (0.47, 16.8)}
#: What JAX needs to know where no TPU answers.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=[""], help="beginnings of names")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--again", action="store_true", help="also those that are done")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print("RESULT " + json.dumps(compiled(ROWS[options.row])), flush=True)
        return
    found = kept()
    chosen = [name for name in ROWS if name.startswith(tuple(options.rows))]
    for name in chosen:
        if options.list:
            print(f"{'done   ' if name in found else 'missing'} {name}")
        elif options.again or name not in found:
            made = in_process(name)
            print(f"{name}: {made}", flush=True)
            keep({name: made})
    if not options.list:
        write_page(kept())  # read again: another command may have added rows meanwhile


def in_process(name: str) -> dict[str, Any]:
    """Compiles a row in a fresh process; what the compiler says where it refuses, too."""
    env = {**os.environ, **ENVIRONMENT, "TPU_ACCELERATOR_TYPE": CHIPS[ROWS[name].chip].accelerator}
    done = subprocess.run([sys.executable, __file__, "--row", name], env=env, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if lines:
        return json.loads(lines[-1].removeprefix("RESULT "))
    if "RESOURCE_EXHAUSTED" in done.stderr:
        used = done.stderr.partition("Used ")[2].partition(" of ")[0]
        return {"refused": f"does not fit: {used}" if used else "does not fit"}
    raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")


def kept() -> dict[str, Any]:
    """The rows that are done."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def keep(rows: dict[str, Any]) -> None:
    """Adds rows to the file, written beside and renamed."""
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(json.dumps({**kept(), **rows}, indent=1) + "\n")
    os.replace(partial, RESULTS)


def compiled(row: Row) -> dict[str, Any]:
    """Compiles a row for one chip of its topology and reads the compiler's account."""
    import jax
    from heading import heading
    from jax.experimental import topologies

    from magvit_keras.backend.jax import compiling_for

    chip = CHIPS[row.chip]
    topology = topologies.get_topology_desc(platform="tpu", topology_name=chip.topology)
    place = jax.sharding.SingleDeviceSharding(topology.devices[0])
    fn, arguments, donated = program_of(row)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments)
    start = time.perf_counter()
    with compiling_for("tpu", topology.devices[0].device_kind):
        lowered = jax.jit(fn, donate_argnums=(0,) if donated else ()).lower(*shapes)
    program = lowered.compile()
    memory, cost = program.memory_analysis(), program.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    dump = os.environ.get("TPU_COMPILE_DUMP")
    if dump:
        pathlib.Path(dump).write_text(program.as_text())
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
        "temporary": memory.temp_size_in_bytes,
        "total": held + memory.temp_size_in_bytes,
        "flops": cost["flops"],
        "bytes": cost["bytes accessed"],
        "compile_seconds": round(time.perf_counter() - start, 1),
        "heading": heading(f"jaxlib {jax.lib.__version__}, libtpu {_libtpu()}"),
    }


def _libtpu() -> str:
    import importlib.metadata

    return importlib.metadata.version("libtpu")


def counted(row: Row, found: dict[str, Any]) -> dict[str, Any]:
    """A row's account, with all steps of `generate`: the compiler counts what a loop holds once."""
    result = found[row.name]
    if row.program != "generate" or "refused" in result:
        return result
    forward = found[dataclasses.replace(row, program="transformer").name]
    return {**result, **{key: result[key] + (STEPS - 1) * forward[key] for key in ("flops", "bytes")}}


def roofline(row: Row, found: dict[str, Any]) -> float:
    """Seconds."""
    chip = CHIPS[row.chip]
    return max(found["flops"] / chip.flops, found["bytes"] / chip.bandwidth)


def write_page(found: dict[str, Any]) -> None:
    """Writes the section of docs/performance.md."""
    rows, headings = [], []
    for name, row in ROWS.items():
        if name not in found:
            continue
        result = counted(row, found)
        remat = row.remat if row.program.startswith("train") else "-"
        cells = [f"{row.size} {row.program}", row.dtype.removeprefix("mixed_"), str(row.batch), remat, row.chip]
        if "refused" in result:
            rows.append([*cells, result["refused"], "-", "-", "-", "-"])
            continue
        gigabytes = [f"{result[key] / 1e9:.2f}" for key in ("temporary", "total")]
        work = [f"{result['flops'] / 1e12:.2f}", f"{result['bytes'] / 1e9:.1f}", f"{1e3 * roofline(row, result):.1f}"]
        rows.append([*cells, *gigabytes, *work])
        headings.append(result["heading"])
    columns = ["program", "precision", "batch", "remat", "chip", "temporary, GB", "all, GB", "TFLOP", "GB moved"]
    flax = ", ".join(f"{name} {temporary} GB and {moved} GB" for name, (temporary, moved) in FLAX.items())
    text = [
        table([*columns, "roofline, ms"], rows, text_columns=5),
        "",
        f"`generate` takes {STEPS} steps and the compiler counts one: the transformer's row stands for the others.",
        "",
        f"For comparison, the authors' Flax code, B, float32, batch 8, v5e, temporary and moved: {flax}.",
        "",
        *goals(found),
        "",
        *missing(found),
        "",
        *sorted({re.sub(r" --row [^`]*", "", heading) for heading in headings}),
    ]
    write_part("tpu", "\n".join(text))


def goals(found: dict[str, Any]) -> list[str]:
    """Bytes moved by the programs that can be compared, beside half of what the authors' code moves; and what fits."""
    lines = []
    for name, row in ROWS.items():
        result = found.get(name, {})
        if (row.size, row.batch, row.chip) == ("B", 8, "v5e") and row.program in FLAX and "bytes" in result:
            moved, whole = result["bytes"] / 1e9, FLAX[row.program][1]
            reached = "reached" if moved <= whole / 2 else "missed"
            dtype = row.dtype.removeprefix("mixed_")
            lines.append(f"{row.program} in {dtype} {moved:.1f} GB, {moved / whole:.2f} of it: {reached}")
    too_large = [n for n, r in found.items() if n in ROWS and r.get("total", 1e99) > CHIPS[ROWS[n].chip].memory]
    said = [f"The goal was to move at most half as much: {'; '.join(lines)}."] if lines else []
    return [*said, *([f"More than the chip holds: {'; '.join(too_large)}."] if too_large else [])]


def missing(found: dict[str, Any]) -> list[str]:
    """Names the rows that have not been compiled."""
    names = [name for name in ROWS if name not in found]
    return [f"Not compiled yet: {'; '.join(names)}."] if names else []


if __name__ == "__main__":
    main()
