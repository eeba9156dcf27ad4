"""Cloud Storage over plain files: an object is the file `<root>/<bucket>/<object>`, the folder the truth."""

from trainwright.local.storage.app import storage_app
from trainwright.local.storage.names import InvalidName
from trainwright.local.storage.plain import PlainObjects
from trainwright.local.storage.storage import Storage

__all__ = ["InvalidName", "PlainObjects", "Storage", "storage_app"]
