"""IntSGD: ranks send integers, whose exact sum every rank gets; no float is rounded twice.

Run it with `horovodrun -np 3 -H localhost:3 python examples/intsgd.py` or
`torchrun --nproc-per-node 3 examples/intsgd.py`.
"""

import torch
from sklearn.datasets import load_breast_cancer

import compressors
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.transport import launched

transport = launched()
features, labels = (torch.from_numpy(each).float() for each in load_breast_cancer(return_X_y=True))
features = (features - features.mean(0)) / features.std(0)
mine = slice(transport.rank, None, transport.size)

weight = torch.nn.Parameter(torch.zeros(features.shape[1]))
optimizer = DistributedOptimizer(
    torch.optim.SGD([weight], lr=0.5),
    compression=compressors.make("intsgd", bits=8),
    exchange="integer-sum",
    transport=transport,
)
for _ in range(200):
    optimizer.zero_grad()
    logits = features[mine] @ weight
    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[mine]).backward()
    optimizer.step()

if transport.rank == 0:
    wrong = int(((features @ weight > 0) != (labels > 0)).sum())
    sent = optimizer.report.bytes_sent / optimizer.exchange_count
    print(f"{wrong} of {len(labels)} wrong; {sent:.0f} bytes an update on each of {transport.size} rank(s)")
