"""Names the packages, whose list cannot stand in pyproject.toml beside the folder of configs; all else stands there."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["trokens", "trokens.*"]), "trokens.configs"])
