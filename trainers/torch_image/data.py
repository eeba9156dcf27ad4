"""Images in classes, as one tensor in memory: from Parquet, or from a folder with a folder for each class."""

import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy
import PIL.Image
import pyarrow
import pyarrow.parquet
import torch

from ..runtime import UserError, fetch_part, list_files, read_bytes

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_MODES = {1: "L", 3: "RGB"}
# A compressed image may claim any size; this is more than a camera's.
PIL.Image.MAX_IMAGE_PIXELS = 200_000_000


@dataclass(frozen=True)
class Images:
    """Images and their classes.

    Attributes:
        pixels: uint8, (images, channels, size, size).
        labels: int64, index into `classes`.
        classes: Names of the classes, sorted.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Format:
    """How images are read.

    Attributes:
        size: Height and width in pixels that they are brought to, 8 or more.
        channels: 1 (grey) or 3 (colour).
        image_column: Column of the Parquet files with the encoded images (PNG, JPEG …).
        label_column: Column with the classes.
    """

    size: int
    channels: int
    image_column: str
    label_column: str


def read_images(
    location: str,
    argument: str,
    form: Format,
    folder: Path,
    part: tuple[int, int],
    classes: Sequence[str] = (),
) -> Images:
    """Reads images, or one part of them.

    Args:
        location: gs:// URI or path: Parquet (a file, or a folder of them), or a folder with a folder for each
            class.
        argument: The argument that named it, for messages.
        form: How they are read.
        folder: For what must be downloaded.
        part: Number of the part, from 0, and how many there are.
        classes: The classes there may be; those that are found if empty.

    Raises:
        UserError: There are no images, one cannot be read, a column is missing, or a class is not in
            `classes`.
    """
    found = list_files(location)
    if any(name.lower().endswith(_SUFFIXES) for name in found):
        encoded, labels, all_labels = _of_folders(location, found, part)
    else:
        encoded, labels, all_labels = _of_parquet(location, argument, form, folder, part)
    names = tuple(classes) or tuple(sorted(all_labels))
    if strange := sorted(set(labels) - set(names)):
        raise UserError(f"{argument} {location}: class {strange[0]!r} is not in the training images")
    if not labels:
        raise UserError(f"{argument} {location}: no images for replica {part[0]} of {part[1]}")
    pixels = torch.stack([_decoded(image, where, argument, form) for where, image in encoded])
    index = {name: number for number, name in enumerate(names)}
    return Images(pixels, torch.tensor([index[label] for label in labels]), names)


_Encoded = list[tuple[str, bytes]]


def _of_folders(
    location: str, found: list[str], part: tuple[int, int]
) -> tuple[_Encoded, list[str], set[str]]:
    images = [name for name in found if name.lower().endswith(_SUFFIXES)]
    own = images[part[0] :: part[1]]
    labels = [PurePosixPath(name).parent.name for name in own]
    return (
        [(name, read_bytes(name)) for name in own],
        labels,
        {PurePosixPath(name).parent.name for name in images},
    )


def _of_parquet(
    location: str, argument: str, form: Format, folder: Path, part: tuple[int, int]
) -> tuple[_Encoded, list[str], set[str]]:
    # All are read, so that every replica finds the same classes; the images are the smaller part of memory.
    paths, _ = fetch_part(location, folder, ".parquet", 0, 1)
    encoded: _Encoded = []
    labels: list[str] = []
    for path in paths:
        table = _read(path, argument, (form.image_column, form.label_column))
        images = table.column(form.image_column).to_pylist()
        encoded += [(f"{path.name} row {number}", image) for number, image in enumerate(images)]
        labels += [str(label) for label in table.column(form.label_column).to_pylist()]
    return encoded[part[0] :: part[1]], labels[part[0] :: part[1]], set(labels)


def _read(path: Path, argument: str, columns: Sequence[str]) -> pyarrow.Table:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{argument} {path.name}: not Parquet ({error})") from None
    for name in columns:
        if name not in file.schema_arrow.names:
            nearest = difflib.get_close_matches(name, file.schema_arrow.names, 1)
            hint = f"; nearest: {nearest[0]!r}" if nearest else ""
            raise UserError(f"{argument} {path.name}: no column {name!r}{hint}")
    return file.read(columns=list(columns))


def _decoded(content: bytes, where: str, argument: str, form: Format) -> torch.Tensor:
    try:
        with PIL.Image.open(io.BytesIO(content)) as image:
            fitting = image.convert(_MODES[form.channels]).resize((form.size, form.size))
    except (OSError, ValueError, TypeError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"{argument} {where}: not an image that can be read ({error})") from None
    pixels = torch.from_numpy(numpy.array(fitting))
    return pixels[None] if form.channels == 1 else pixels.permute(2, 0, 1)
