"""Every dataset that has a name: what was published of it, where, and how it is read."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vbandits.data import fetching, image_files, other, uci
from vbandits.data.record import Dataset, Fetch, Layout, Published

_UCI = "https://archive.ics.uci.edu/dataset"


def _one(read: Callable[[Sequence[Path]], Dataset], *files: str) -> tuple[Layout, ...]:
    return (Layout(files, read),)


def _images(
    name: str, openml: str, train: tuple[int, ...], shape: tuple[int, int, int] = (1, 28, 28), **published: Any
) -> Published:
    return Published(
        name=name,
        features=math.prod(shape),
        counts=(train,),
        fetch=fetching.openml_images(openml, name, sum(train)),
        shape=shape,
        **published,
    )


def _bundled(name: str, about: str, features: int, *counts: int) -> Published:
    return Published(
        name=name,
        about=about,
        url="scikit-learn",
        features=features,
        counts=(counts,),
        fetch=Fetch("scikit-learn", partial(fetching.bundled, name)),
    )


_ALL = (
    Published(
        name="mushroom",
        about="Mushrooms by 22 attributes: edible or poisonous (UCI)",
        url=f"{_UCI}/73/mushroom",
        features=117,
        counts=((4208, 3916),),
        layouts=_one(uci.mushroom, "agaricus-lepiota.data"),
        fetch=fetching.openml("mushroom", 1, fetching.mushroom),
        sha256="df1980b84713c6c71e67694558e2f0b3597a60c3432223dc97ebf980ad532b87",
    ),
    Published(
        name="statlog",
        about="States of a space shuttle's radiators, training part (UCI Statlog)",
        url=f"{_UCI}/148/statlog+shuttle",
        features=9,
        counts=((34108, 37, 132, 6748, 2458, 6, 11),),
        layouts=_one(uci.shuttle, "shuttle.trn"),
        sha256="cdf6859e2653e3de40c45d99a52a329bd1a4c8e17e981ee631eef1dbbf122db0",
        folders=("shuttle",),
    ),
    Published(
        name="covertype",
        about="Forest cover of 30 m squares, from maps (UCI)",
        url=f"{_UCI}/31/covertype",
        features=54,
        counts=((211840, 283301, 35754, 2747, 9493, 17367, 20510),),
        layouts=_one(uci.covertype, "covtype.data"),
        fetch=Fetch("scikit-learn's covertype", fetching.covertype, fetching.covertype_in_cache),
        folders=("covtype",),
    ),
    Published(
        name="adult",
        about="People of a census: the occupation from all else (UCI)",
        url=f"{_UCI}/2/adult",
        features=94,
        counts=(
            (3721, 9, 4030, 3992, 989, 1350, 1966, 3212, 143, 4038, 644, 3584, 912, 1572),
            (1819, 5, 1990, 1992, 491, 696, 1004, 1596, 89, 1970, 332, 1824, 508, 744),
        ),
        layouts=_one(uci.adult, "adult.data", "adult.test"),
        fetch=fetching.openml("adult", 2, fetching.adult, ordered=True),
        sha256="64d3936e8cc472f27ecb8b77658dda7c7061bcbd7923b1f4d1786af9f4cdd54f",
    ),
    Published(
        name="census",
        about="US census of 1990: the occupation from all else (UCI)",
        url=f"{_UCI}/116/us+census+data+1990",
        features=389,
        rows=2_458_285,
        levels=9,
        layouts=_one(uci.census, "USCensus1990.data.txt"),
    ),
    Published(
        name="jester",
        about="Ratings of 40 jokes by people who rated them all (Goldberg et al., 2001)",
        url="https://eigentaste.berkeley.edu/dataset (the .npy: https://storage.googleapis.com/bandits_datasets/)",
        features=40,
        rows=19_181,
        layouts=(
            Layout(("jester_data_40jokes_19181users.npy",), other.jester_subset),
            *(
                Layout(tuple(f"jester-data-{part}{ending}" for part in (1, 2, 3)), other.jester_raw, exact=False)
                for ending in (".csv", ".xls", ".xlsx")
            ),
        ),
    ),
    Published(
        name="financial",
        about="Days of 21 stocks (Riquelme, Tucker and Snoek, 2018)",
        url="https://storage.googleapis.com/bandits_datasets/raw_stock_contexts",
        features=21,
        rows=3713,
        layouts=_one(other.financial, "raw_stock_contexts"),
    ),
    _images(
        name="mnist",
        about="Handwritten digits, training part (LeCun et al., 1998)",
        url="http://yann.lecun.com/exdb/mnist (mirror: https://ossci-datasets.s3.amazonaws.com/mnist/)",
        openml="mnist_784",
        train=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        layouts=_one(partial(image_files.idx, name="mnist"), *image_files.IDX),
        sha256="4e58fb0c0b85b6ad09782d2d836314b8ea3baff605a87f81b9eafca02c083e5e",
    ),
    _images(
        name="fashion_mnist",
        about="Clothes, training part (Xiao, Rasul and Vollgraf, 2017)",
        url="https://github.com/zalandoresearch/fashion-mnist",
        openml="Fashion-MNIST",
        train=(6000,) * 10,
        test=(1000,) * 10,
        layouts=_one(partial(image_files.idx, name="fashion_mnist"), *image_files.IDX),
        flat=False,
    ),
    _images(
        name="cifar10",
        about="Small photographs in colour, training part (Krizhevsky, 2009)",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        openml="CIFAR_10",
        shape=(3, 32, 32),
        train=(5000,) * 10,
        test=(1000,) * 10,
        layouts=(
            Layout((image_files.CIFAR_ARCHIVE,), image_files.cifar_archive),
            Layout(image_files.CIFAR_BATCHES, image_files.cifar_batches),
        ),
        folders=(f"cifar10/{image_files.CIFAR_FOLDER}", image_files.CIFAR_FOLDER),
    ),
    Published(
        name="letter",
        about="Printed capitals, distorted, by 16 measurements (UCI)",
        url=f"{_UCI}/59/letter+recognition",
        features=16,
        counts=(
            (
                789,
                766,
                736,
                805,
                768,
                775,
                773,
                734,
                755,
                747,
                739,
                761,
                792,
                783,
                753,
                803,
                783,
                758,
                748,
                796,
                813,
                764,
                752,
                787,
                786,
                734,
            ),
        ),
        layouts=_one(uci.letter, "letter-recognition.data"),
        fetch=fetching.openml("letter", 1, partial(fetching.numeric, table=uci.letter)),
    ),
    Published(
        name="pendigits",
        about="Digits by eight points of the pen (UCI)",
        url=f"{_UCI}/81/pen+based+recognition+of+handwritten+digits",
        features=16,
        counts=(
            (780, 779, 780, 719, 780, 720, 720, 778, 719, 719),
            (363, 364, 364, 336, 364, 335, 336, 364, 336, 336),
        ),
        layouts=_one(uci.pendigits, "pendigits.tra", "pendigits.tes"),
        fetch=fetching.openml("pendigits", 1, partial(fetching.numeric, table=uci.pendigits)),
    ),
    Published(
        name="satimage",
        about="Soil by 3 x 3 pixels of a satellite in four bands (UCI Statlog)",
        url=f"{_UCI}/146/statlog+landsat+satellite",
        features=36,
        counts=((1072, 479, 961, 415, 470, 1038), (461, 224, 397, 211, 237, 470)),
        layouts=_one(uci.satimage, "sat.trn", "sat.tst"),
    ),
    Published(
        name="magic",
        about="Showers of gamma rays and of hadrons in a telescope (UCI)",
        url=f"{_UCI}/159/magic+gamma+telescope",
        features=10,
        counts=((12332, 6688),),
        layouts=_one(uci.magic, "magic04.data"),
        fetch=fetching.openml("MagicTelescope", 1, fetching.magic),
    ),
    Published(
        name="hillstrom",
        about="E-mails to customers of a shop, or none, at random, and whether they came (Hillstrom, 2008)",
        url="https://blog.minethatdata.com/2008/03/minethatdata-e-mail-analytics-and-data.html",
        features=18,
        counts=((21307, 21306, 21387),),
        sha256="e64c5d18b6152e9e38a4e22c50eca42e1265252ed54b78eed074356a210924eb",
        layouts=tuple(Layout((name,), other.hillstrom) for name in ("hillstrom.csv", other.HILLSTROM)),
        log=True,
    ),
    _bundled("digits", "Handwritten digits of 8 x 8 pixels", 64, 178, 182, 177, 183, 181, 182, 181, 179, 174, 180),
    _bundled("breast_cancer", "Tumours by 30 measurements", 30, 212, 357),
    _bundled("wine", "Wines by 13 measurements", 13, 59, 71, 48),
    _bundled("iris", "Irises by 4 measurements", 4, 50, 50, 50),
)
PUBLISHED = {published.name: published for published in _ALL}
"""Datasets by name."""
