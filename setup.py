"""Adds to setup.cfg what it cannot say: the presets of ``jobs/presets`` are a package of their own."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["compressors*", "hvd_qgenx*"]), "hvd_qgenx.presets"],
    package_dir={"hvd_qgenx.presets": "jobs/presets"},
)
