"""Resources as the JSON API shows them: pure functions.

Fields: Cloud Storage JSON API reference, "Objects" and "Buckets"; partial answers: "Performance tips".
"""

import base64
import datetime
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from trainwright.local.storage.database import StoredBucket, StoredObject
from trainwright.local.storage.errors import Invalid
from trainwright.local.storage.files import crc32c_text, md5_text

_MULTI_REGIONS = {"US", "EU", "ASIA"}
_NESTED_FIELDS = 100
_DUAL_REGIONS = {"ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"}


def object_resource(stored: StoredObject, base: str) -> dict[str, Any]:
    """An object's resource.

    Args:
        stored: The version.
        base: How the client reached this server: scheme, host and path prefix, without "/" at the end.
    """
    path = f"storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base}/{path}",
        "mediaLink": f"{base}/download/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "etag": object_etag(stored),
        "timeCreated": timestamp(stored.created),
        "updated": timestamp(stored.updated),
        "timeStorageClassUpdated": timestamp(stored.created),
        "timeFinalized": timestamp(stored.created),
        **stored.attributes,
    }
    if stored.md5 is not None:
        resource["md5Hash"] = md5_text(stored.md5)
    if stored.crc32c is not None:
        resource["crc32c"] = crc32c_text(stored.crc32c)
    return resource


def bucket_resource(bucket: StoredBucket, base: str, project_number: str) -> dict[str, Any]:
    """A bucket's resource; arguments as for `object_resource`."""
    location = bucket.attributes["location"]
    kind = (
        "multi-region"
        if location in _MULTI_REGIONS
        else "dual-region"
        if location in _DUAL_REGIONS
        else "region"
    )
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base}/storage/v1/b/{bucket.name}",
        "name": bucket.name,
        "projectNumber": project_number,
        "metageneration": str(bucket.metageneration),
        "etag": etag(bucket.metageneration),
        "timeCreated": timestamp(bucket.created),
        "updated": timestamp(bucket.updated),
        "locationType": kind,
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": False},
            "bucketPolicyOnly": {"enabled": False},
            "publicAccessPrevention": "inherited",
        },
        **bucket.attributes,
    }


def policy_resource(bucket: StoredBucket) -> dict[str, Any]:
    """A bucket's IAM policy: what was set, without bindings before."""
    return {
        "version": 1,
        "bindings": [],
        **(bucket.policy or {}),
        "kind": "storage#policy",
        "resourceId": f"projects/_/buckets/{bucket.name}",
        "etag": etag(bucket.metageneration),
    }


def object_etag(stored: StoredObject) -> str:
    """An object's entity tag."""
    return etag(stored.generation, stored.metageneration)


def etag(*numbers: int) -> str:
    """An entity tag like Google's: base64 of the numbers as the fields 1, 2 ... of a protocol buffer."""
    encoded = bytearray()
    for position, number in enumerate(numbers, start=1):
        encoded.append(position << 3)
        while number > 0x7F:
            encoded.append(number & 0x7F | 0x80)
            number >>= 7
        encoded.append(number)
    return base64.b64encode(bytes(encoded)).decode()


def timestamp(seconds: float) -> str:
    """A time in RFC 3339 with milliseconds, UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def select(resource: Any, fields: str | None) -> Any:
    """The part of an answer that the `fields` parameter asks for, such as `items(name,size),nextPageToken`.

    Args:
        resource: The whole answer.
        fields: Names separated by ","; `a/b` and `a(b,c)` go into a field, `*` means all; None: the whole
            answer.

    Raises:
        Invalid: A parenthesis is missing, or there are very many.
    """
    if fields is None:
        return resource
    if fields.count("(") + fields.count("/") > _NESTED_FIELDS:
        raise Invalid(f"Invalid field selection {fields[:100]}")
    return _selected(resource, _field_tree(fields))


def _field_tree(fields: str) -> dict[str, dict]:
    tree: dict[str, dict] = {}
    depth, start = 0, 0
    for position, character in enumerate(fields + ","):
        depth += (character == "(") - (character == ")")
        if depth < 0 or (depth and position == len(fields)):
            raise Invalid(f"Invalid field selection {fields[:100]}")
        if character == "," and not depth:
            _add_field(tree, fields[start:position].strip())
            start = position + 1
    return tree


def _add_field(tree: dict[str, dict], field: str) -> None:
    cut = min((field.find(mark) for mark in "/(" if mark in field), default=-1)
    if cut < 0:
        tree[field] = {"*": {}}
    else:
        inner = field[cut + 1 :] if field[cut] == "/" else field[cut + 1 : field.rfind(")")]
        tree.setdefault(field[:cut], {}).update(_field_tree(inner))


def _selected(value: Any, tree: Mapping[str, dict]) -> Any:
    if "*" in tree and not tree["*"]:
        return value
    if isinstance(value, list):
        return [_selected(item, tree) for item in value]
    if not isinstance(value, Mapping):
        return value
    picked = {name: _selected(value[name], inner) for name, inner in tree.items() if name in value}
    if "*" in tree:
        picked |= {name: _selected(inner, tree["*"]) for name, inner in value.items() if name not in picked}
    return picked
