"""The local AutoML engine as a program that a container can run: what it needs, its command, its archive."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

IMAGE = "python:3.11"  # not the slim one, which lacks the libgomp that LightGBM is linked to
PROGRAM = "program.zip"
CONFIG = "config.json"
_PACKAGE = Path(__file__).with_name("automl")
_SERVING = ("google-cloud-storage~=3.0", "lightgbm~=4.7", "numpy~=2.2", "pillow>=11")
_TRAINING = (*_SERVING, "optuna~=5.0", "scikit-learn~=1.9")
_DATE = (2026, 1, 1, 0, 0, 0)  # the same archive of the same code
# Fetches a folder of Cloud Storage, and runs the program that is in it.
_FETCH = """
import os, pathlib, sys, tempfile
from google.cloud import storage
module, uri = sys.argv[1], os.environ[sys.argv[2]].rstrip("/") + "/"
bucket, _, prefix = uri.removeprefix("gs://").partition("/")
folder = pathlib.Path(tempfile.mkdtemp())
for blob in storage.Client(project="none").list_blobs(bucket, prefix=prefix):
    blob.download_to_filename(folder / blob.name.rpartition("/")[2])
sys.path.insert(0, str(folder / "program.zip"))
__import__("automl." + module, fromlist=["main"]).main(folder)
"""


def archive() -> bytes:
    """The engine's package as a zip file that Python can import from."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(_PACKAGE.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"automl/{file.name}", _DATE), file.read_bytes())
    return content.getvalue()


def training_command(module: str) -> list[str]:
    """Trains as the folder that AUTOML_FOLDER names says; writes to AIP_MODEL_DIR.

    Args:
        module: Of the package: "train" for tables, "train_images" for images.
    """
    return _command(_TRAINING, module, "AUTOML_FOLDER")


def serving_command() -> list[str]:
    """Serves the model directory that AIP_STORAGE_URI names."""
    return _command(_SERVING, "serve", "AIP_STORAGE_URI")


def _command(packages: Sequence[str], module: str, folder: str) -> list[str]:
    install = f'pip install --quiet {" ".join(packages)} && exec "$0" "$@"'
    return ["sh", "-ec", install, "python3", "-u", "-c", _FETCH, module, folder]
