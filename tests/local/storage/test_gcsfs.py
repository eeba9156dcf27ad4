"""gcsfs, unmodified, in a process of its own with the environment that client processes get."""

import os
import subprocess
import sys
import textwrap

SCRIPT = """
    import gcsfs, logging
    problems = []
    class Keep(logging.Handler):
        def emit(self, record): problems.append(record.getMessage())
    logging.getLogger("gcsfs").addHandler(Keep(level=logging.WARNING))
    fs = gcsfs.GCSFileSystem(project="trainwright-local", token="anon")
    fs.mkdir("gcsfs-bucket")
    assert "gcsfs-bucket" in [name.strip("/") for name in fs.ls("")]
    fs.pipe("gcsfs-bucket/a/one.csv", b"x,y\\n1,2\\n")
    with fs.open("gcsfs-bucket/a/two.bin", "wb", block_size=2**18) as file:
        for number in range(8):
            file.write(bytes([number]) * 100_000)
    with fs.open("gs://gcsfs-bucket/a/two.bin", "rb") as file:
        file.seek(750_000)
        assert file.read(10) == bytes([7]) * 10
    fs.pipe("gcsfs-bucket/a/large", b"0123456789" * 700_000, chunksize=2**20)
    assert fs.cat_file("gcsfs-bucket/a/large", start=-5) == b"56789"
    names = [f"gcsfs-bucket/a/{name}" for name in ("large", "one.csv", "two.bin")]
    assert fs.ls("gcsfs-bucket/a", detail=False) == names
    assert fs.glob("gcsfs-bucket/**/*.csv") == ["gcsfs-bucket/a/one.csv"]
    assert fs.find("gcsfs-bucket") == names
    assert fs.info("gcsfs-bucket/a/one.csv")["size"] == 8
    assert fs.info("gcsfs-bucket/a")["type"] == "directory"
    assert fs.exists("gcsfs-bucket/a/one.csv") and not fs.exists("gcsfs-bucket/a/three")
    fs.setxattrs("gcsfs-bucket/a/one.csv", stage="raw")
    fs.invalidate_cache()
    assert fs.getxattr("gcsfs-bucket/a/one.csv", "stage") == "raw"
    fs.cp("gcsfs-bucket/a/one.csv", "gcsfs-bucket/b/copy.csv")
    fs.mv("gcsfs-bucket/b/copy.csv", "gcsfs-bucket/b/moved.csv")
    assert fs.cat("gcsfs-bucket/b/moved.csv") == b"x,y\\n1,2\\n" and not fs.exists("gcsfs-bucket/b/copy.csv")
    fs.merge("gcsfs-bucket/b/merged", ["gcsfs-bucket/a/one.csv", "gcsfs-bucket/b/moved.csv"])
    assert fs.cat("gcsfs-bucket/b/merged") == b"x,y\\n1,2\\n" * 2
    try:
        fs.pipe("gcsfs-bucket/a/one.csv", b"", mode="create")
        raise SystemExit("an existing object was created")
    except FileExistsError:
        pass
    problems.clear()  # gcsfs logs the refusal that was asked for
    discarded = fs.open("gcsfs-bucket/b/discarded", "wb", block_size=2**18, autocommit=False)
    discarded.write(b"x" * 600_000)
    discarded.flush()
    discarded.discard()
    assert not fs.exists("gcsfs-bucket/b/discarded")
    fs.rm("gcsfs-bucket/a", recursive=True)
    fs.rm("gcsfs-bucket", recursive=True)
    assert problems == [], problems
"""


def test_gcsfs(cloud):
    environment = {
        **os.environ,
        "STORAGE_EMULATOR_HOST": cloud.url,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not (cloud.root / "gcsfs-bucket").exists()
    assert list((cloud.root / ".staging").iterdir()) == []
