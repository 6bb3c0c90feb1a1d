"""Methods, splits and usual weights of the regularizer, by name; listing them imports nothing further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.tasks.logistic.methods import Method

METHODS: Registry[Method] = Registry(
    "method",
    {
        "gd": "hvd_qgenx.tasks.logistic.methods:GD",
        "sgd": "hvd_qgenx.tasks.logistic.methods:SGD",
        "l-svrg": "hvd_qgenx.tasks.logistic.methods:L_SVRG",
        "int-gd": "hvd_qgenx.tasks.logistic.methods:INT_GD",
        "int-sgd": "hvd_qgenx.tasks.logistic.methods:INT_SGD",
        "int-diana": "hvd_qgenx.tasks.logistic.methods:INT_DIANA",
        "vr-int-diana": "hvd_qgenx.tasks.logistic.methods:VR_INT_DIANA",
        "vr-hint-diana": "hvd_qgenx.tasks.logistic.methods:VR_HINT_DIANA",
        "vr-nat-diana": "hvd_qgenx.tasks.logistic.methods:VR_NAT_DIANA",
        "ef21": "hvd_qgenx.tasks.logistic.methods:EF21",
        "ef-topk": "hvd_qgenx.tasks.logistic.methods:EF_TOPK",
    },
)
SPLITS = ("contiguous", "shuffled", "sorted", "dirichlet")
"""Ways to divide samples among workers; ``shares.make_shares`` makes them."""
LAWS = ("constant", "decay", "bottou", "epoch-decay")
"""Laws of step sizes: lr, lr / (l2 (k + tau)), lr / (1 + lr l2 k), lr c^epoch."""
AVERAGES = ("final", "mean", "t+tau", "(t+tau)^2")
"""Weights of iterate t in the point that counts."""
L2 = {
    "a5a": 5e-4,
    "gisette": 2e-4,
    "heart": 3e-2,
    "mushrooms": 6e-4,
    "rcv1": 5e-5,
    "real-sim": 2e-5,
    "w8a": 1e-4,
}
"""Weights of the regularizer in the IntSGD paper's experiments, by data set."""
