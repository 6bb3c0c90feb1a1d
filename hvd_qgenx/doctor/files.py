"""Checks of data sets, weights, and the folder of runs. Files are looked for, not read."""

import os
import shutil

from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding, Place
from hvd_qgenx.scores import inception, resnet

DATA = {
    "mnist": ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-images-idx3-ubyte.gz"),
    "fashion-mnist": ("FashionMNIST/raw/train-images-idx3-ubyte", "FashionMNIST/raw/train-images-idx3-ubyte.gz"),
    "cifar10": ("cifar-10-batches-py/data_batch_1",),
    "cifar100": ("cifar-100-python/train",),
    "svhn": ("train_32x32.mat",),
    "celeba": ("celeba/list_eval_partition.txt",),
}
"""Files of the data sets in torchvision's layout; any one of them shows that the data set is present."""
LEAST_FREE = 1 << 30
"""Free bytes below which there is a warning."""


def data_sets(place: Place) -> Finding:
    """Lists the data sets in the data folder."""
    found = [name for name, files in DATA.items() if any((place.data_dir / file).is_file() for file in files)]
    missing = [name for name in DATA if name not in found]
    text = f"{', '.join(['digits', *found])}; in {place.data_dir}"
    advice = f"hvd-qgenx gan --dataset {missing[0]} --download, or name their folder with --data-dir" if missing else ""
    if missing:
        text += f" no {', '.join(missing)}"
    return Finding("data sets", OK, text, advice)


def weights(place: Place) -> Finding:
    """Looks for the weights of the networks that score images."""
    paths = {"Inception": inception.find(None), "ResNet-56": resnet.find(place.data_dir)}
    there = [f"{name} ({path})" for name, path in paths.items() if path]
    missing = [name for name, path in paths.items() if not path]
    text = ", ".join([*there, *(f"no {name}" for name in missing)])
    if paths["Inception"] and not inception.installed():
        return Finding("weights", WARNING, f"{text}, but torch-fidelity is missing", "pip install torch-fidelity")
    if there:
        return Finding("weights", OK, text)
    return Finding("weights", WARNING, f"{text}: only grey images can be scored", "add --download to gan or evaluate")


def runs_folder(place: Place) -> Finding | None:
    """Checks that rank 0, the only one that writes, can write to the folder of runs."""
    if place.rank not in (None, 0):
        return None
    folder = next(path for path in (place.runs.absolute(), *place.runs.absolute().parents) if path.exists())
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        return Finding("runs", ERROR, f"{folder} cannot be written to", "name another folder with --out")
    free = shutil.disk_usage(folder).free
    text = f"{place.runs.absolute()}, {free / 1e9:.0f} GB free"
    if free < LEAST_FREE:
        return Finding("runs", WARNING, text, "free some space, or name another folder with --out")
    return Finding("runs", OK, text)
