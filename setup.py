"""What pyproject.toml cannot say: the top folder `migrations/` is installed as `scanhop.migrations`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["edge*", "ingest*", "control_api*", "scanhop*"]), "scanhop.migrations"],
    package_dir={"scanhop.migrations": "migrations"},
    package_data={
        "": ["py.typed", "*.sql", "*.html"],
        "scanhop.migrations": ["postgres/*", "postgres/versions/*.py", "postgres/versions/*.sql", "clickhouse/*.sql"],
    },
)
