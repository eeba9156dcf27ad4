"""/gcs, the folder under which Vertex AI shows Cloud Storage, for one process and its children."""

import ctypes
import os
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 4096, 16384, 1 << 18, 2


def libc() -> ctypes.CDLL:
    """The C library of this process, keeping errno."""
    return ctypes.CDLL(None, use_errno=True)


def show_gcs(root: str) -> bool:
    """Shows a folder as /gcs, by a user and mount namespace of this process's own.

    Nothing changes outside: no folder is made and no privilege is needed. Vertex AI mounts the buckets there
    (https://cloud.google.com/vertex-ai/docs/training/code-requirements, 2026-08-22).

    Args:
        root: Existing folder with one folder per bucket.

    Returns:
        False where the kernel forbids such a namespace.

    Raises:
        OSError: It was made but could not be furnished: this process sees half a file system and must end.
    """
    user, group, folder = os.geteuid(), os.getegid(), Path.cwd()
    root = os.path.realpath(root)
    if libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    # An empty root; in it everything of the old root, and /gcs.
    _check(libc().mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    _check(libc().mount(b"tmpfs", b"/tmp", b"tmpfs", 0, b"mode=755"))
    Path("/tmp/old").mkdir()  # noqa: S108
    _check(libc().pivot_root(b"/tmp", b"/tmp/old"))
    os.chdir("/")
    for entry in os.scandir("/old"):
        _copy_entry(entry)
    Path("/gcs").mkdir()
    _bind("/old" + root, "/gcs")
    _check(libc().umount2(b"/old", _MNT_DETACH))
    Path("/old").rmdir()
    os.chdir(folder)
    return True


def _copy_entry(entry: os.DirEntry[str]) -> None:
    target = Path("/", entry.name)
    if entry.name == "gcs":
        return
    if entry.is_symlink():
        target.symlink_to(Path(entry.path).readlink())
        return
    if entry.is_dir():
        target.mkdir()
    else:
        target.touch()
    _bind(entry.path, str(target))


def _bind(source: str, target: str) -> None:
    _check(libc().mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND | _MS_REC, None))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
