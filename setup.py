"""What pyproject.toml cannot say.

The top folder `migrations/` is installed as `scanhop.migrations`. The hot path of the edge is compiled; where that
fails its Python version runs.
"""

import zlib
from pathlib import Path

from setuptools import Extension, find_packages, setup

HOT_PATH = "edge/_hot_path.c"

setup(
    packages=[*find_packages(include=["edge*", "ingest*", "control_api*", "scanhop*"]), "scanhop.migrations"],
    ext_modules=[
        Extension(
            "edge._hot_path",
            [HOT_PATH],
            define_macros=[("SOURCE_CRC", str(zlib.crc32(Path(HOT_PATH).read_bytes())))],
            extra_compile_args=["-O2"],
            optional=True,
        )
    ],
    package_dir={"scanhop.migrations": "migrations"},
    package_data={
        "": ["py.typed", "*.sql", "*.html"],
        "scanhop.migrations": ["postgres/*", "postgres/versions/*.py", "postgres/versions/*.sql", "clickhouse/*.sql"],
    },
)
