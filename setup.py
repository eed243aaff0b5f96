"""What pyproject.toml cannot say.

The top folder `migrations/` is installed as `scanhop.migrations`. The hot path of the edge is compiled; where that
fails its Python version runs.
"""

from setuptools import Extension, find_packages, setup

setup(
    packages=[*find_packages(include=["edge*", "ingest*", "control_api*", "scanhop*"]), "scanhop.migrations"],
    ext_modules=[Extension("edge._hot_path", ["edge/_hot_path.c"], extra_compile_args=["-O2"], optional=True)],
    package_dir={"scanhop.migrations": "migrations"},
    package_data={
        "": ["py.typed", "*.sql", "*.html"],
        "scanhop.migrations": ["postgres/*", "postgres/versions/*.py", "postgres/versions/*.sql", "clickhouse/*.sql"],
    },
)
