"""What a user says about an object or bucket, from the JSON of a request: pure functions over dictionaries.

Fields: Cloud Storage JSON API reference, "Objects" and "Buckets". A field that asks for a behaviour that
local Cloud Storage does not have is refused. Only what controls access (ACLs, IAM, CORS) is taken without
effect: whoever has the token may do everything.
"""

from collections.abc import Mapping
from typing import Any

from trainwright.local.storage.errors import Invalid, NotImplementedHere

_TEXTS = (
    "contentType",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "customTime",
    "storageClass",
)
_OBJECT_UNSUPPORTED = (
    "temporaryHold",
    "eventBasedHold",
    "retention",
    "kmsKeyName",
    "customerEncryption",
    "contexts",
)
_BUCKET_FIELDS = ("labels", "iamConfiguration", "cors")
_BUCKET_UNSUPPORTED = (
    "autoclass",
    "billing",
    "customPlacementConfig",
    "defaultEventBasedHold",
    "encryption",
    "hierarchicalNamespace",
    "ipFilter",
    "lifecycle",
    "logging",
    "objectRetention",
    "retentionPolicy",
    "softDeletePolicy",
    "versioning",
    "website",
)


def object_attributes(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The writable fields of an object's resource; null fields are left out.

    Raises:
        Invalid: A field has the wrong type or holds a control character.
        NotImplementedHere: A field asks for what local Cloud Storage cannot do.
    """
    return _without_nulls(_checked_object(resource))


def patched_object(current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes after a PATCH: given fields replace, null removes, custom metadata is merged key by key.

    Raises:
        Invalid: See `object_attributes`.
        NotImplementedHere: See `object_attributes`.
    """
    changes = _checked_object(patch)
    if changes.get("metadata") is not None:
        changes["metadata"] = {**current.get("metadata", {}), **changes["metadata"]}
    return _without_nulls({**current, **changes})


def replaced_object(current: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes after a PUT: those of the resource; what users cannot write stays.

    Raises:
        Invalid: See `object_attributes`.
        NotImplementedHere: See `object_attributes`.
    """
    kept = {name: current[name] for name in ("componentCount", "storageClass") if name in current}
    return {**kept, **object_attributes(resource)}


def bucket_attributes(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a new bucket from its resource.

    Raises:
        Invalid: A field has the wrong type.
        NotImplementedHere: A field asks for what local Cloud Storage cannot do, such as versioning.
    """
    location = resource.get("location") or "US-CENTRAL1"
    storage_class = resource.get("storageClass") or "STANDARD"
    if not isinstance(location, str) or not isinstance(storage_class, str):
        raise Invalid("Invalid value for location or storageClass: expected a string")
    fixed = {"location": location.upper(), "storageClass": storage_class.upper()}
    return patched_bucket(fixed, {**resource, "storageClass": storage_class.upper()})


def patched_bucket(current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a bucket after a PATCH: given fields replace, null removes, labels are merged by key.

    Raises:
        Invalid: Labels are no object of strings.
        NotImplementedHere: See `bucket_attributes`.
    """
    _refuse(patch, _BUCKET_UNSUPPORTED)
    changes = {name: patch[name] for name in _BUCKET_FIELDS if name in patch}
    changes |= {name: patch[name] for name in ("storageClass",) if patch.get(name)}
    if changes.get("labels") is not None:
        changes["labels"] = {**current.get("labels", {}), **_texts("labels", changes["labels"])}
    return _without_nulls({**current, **changes})


def replaced_bucket(current: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a bucket after a PUT: those of the resource; location and storage class stay.

    Raises:
        Invalid: See `patched_bucket`.
        NotImplementedHere: See `bucket_attributes`.
    """
    return patched_bucket({name: current[name] for name in ("location", "storageClass")}, resource)


def _checked_object(resource: Mapping[str, Any]) -> dict[str, Any]:
    _refuse(resource, _OBJECT_UNSUPPORTED)
    found: dict[str, Any] = {}
    for name in _TEXTS:
        if name in resource:
            value = resource[name]
            if value is not None and not (isinstance(value, str) and _fits_header(value)):
                raise Invalid(f"Invalid value for {name}: expected valid text without control characters")
            found[name] = value or None
    if "metadata" in resource:
        value = resource["metadata"]
        found["metadata"] = None if value is None else _texts("metadata", value)
    return found


def _fits_header(text: str) -> bool:
    return not any(
        character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in text
    )


def _texts(name: str, value: object) -> dict[str, str | None]:
    if not isinstance(value, dict) or not all(isinstance(text, str | None) for text in value.values()):
        raise Invalid(f"Invalid value for {name}: expected an object whose values are strings")
    return value


def _refuse(resource: Mapping[str, Any], unsupported: tuple[str, ...]) -> None:
    for name in unsupported:
        if _asks(resource.get(name)):
            raise NotImplementedHere(f"Local Cloud Storage does not implement {name}; leave it out.")


def _asks(value: object) -> bool:
    """Whether a setting asks for something: any true, non-zero or non-empty value, however deep."""
    if isinstance(value, Mapping):
        return any(_asks(inner) for inner in value.values())
    return bool(value) and value != "0"


def _without_nulls(attributes: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in attributes.items() if value is not None}
    for name in ("metadata", "labels"):
        if name in kept:
            kept[name] = {key: text for key, text in kept[name].items() if text is not None}
    return kept
