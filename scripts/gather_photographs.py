"""Gathers the photographs from which the weights for real video learned.

    for package in gnome-backgrounds lomiri-wallpapers-16.04 ...; do apt-get download $package; done
    for file in *.deb; do dpkg -x $file unpacked/${file%%_*}; done
    python -m zipfile -e scikit_image-*.whl unpacked/scikit-image
    python scripts/gather_photographs.py unpacked photos

`photographs.json` beside this script lists them: package and version, path in it, author and licence, as the package's
`copyright` file, `metadata.json` or documentation tells. Drawings, gradients and pictures without a licence of their
own are not among them. Each becomes a JPEG of at most 768 pixels along its shorter side.
"""

import argparse
import json
import pathlib

from PIL import Image

LIST = pathlib.Path(__file__).with_name("photographs.json")
SHORTER_SIDE = 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unpacked", type=pathlib.Path, help="holds a folder for each package, named as it is")
    parser.add_argument("photos", type=pathlib.Path, help="folder to write")
    options = parser.parse_args()
    options.photos.mkdir(parents=True, exist_ok=True)
    photographs = json.loads(LIST.read_text())
    sources = [options.unpacked / about["package"].split()[0] / about["path"] for about in photographs]
    if missing := [str(path) for path in sources if not path.is_file()]:
        parser.error(f"{len(missing)} of {len(sources)} pictures are missing, the first is {missing[0]}")
    for about, path in zip(photographs, sources, strict=True):
        with Image.open(path) as image:
            picture = image.convert("RGB")
        scale = min(1, SHORTER_SIDE / min(picture.size))
        size = tuple(round(side * scale) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3) if scale < 1 else picture
        picture.save(options.photos / about["file"], quality=95, subsampling=0)


if __name__ == "__main__":
    main()
