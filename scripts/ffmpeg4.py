"""Gives tensorflow-io the FFmpeg 4 libraries that come with the OpenCV of requirements/tfio.txt (Linux).

    .venv-tfio/bin/python scripts/ffmpeg4.py .venv-tfio/ffmpeg4

They carry other names there. This makes a folder of links with the names that tensorflow-io asks for, and prints it,
for LD_LIBRARY_PATH. A system that has FFmpeg 4 itself does not need it.
"""

import importlib.metadata
import pathlib
import re
import sys


def main(folder: str) -> None:
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(exist_ok=True)
    for file in importlib.metadata.files("opencv-python-headless") or ():
        if ".libs/" not in file.as_posix():
            continue
        names = {file.name}
        # libavcodec-65fa80df.so.58.134.100 is libavcodec.so.58 to those who were linked with FFmpeg.
        if match := re.fullmatch(r"(lib(?:av|sw)\w+)-\w+(\.so\.\d+)[\d.]*", file.name):
            names.add("".join(match.groups()))
        for name in names:
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(pathlib.Path(file.locate()).resolve())
    print(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
