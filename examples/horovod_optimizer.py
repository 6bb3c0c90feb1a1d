"""Horovod's optimizer, swapped: one import changes, and gradients travel in 4 bits.

Run it with `horovodrun -np 3 -H localhost:3 python examples/horovod_optimizer.py`.
"""

import torch
from sklearn.datasets import load_digits

import compressors
import hvd_qgenx.torch as hvd  # was: import horovod.torch as hvd

hvd.init()
torch.manual_seed(0)

images, labels = (torch.from_numpy(each[hvd.rank() :: hvd.size()]) for each in load_digits(return_X_y=True))
images, labels = (images / 16).float(), labels.long()
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = hvd.DistributedOptimizer(
    torch.optim.Adam(model.parameters(), lr=0.01),
    named_parameters=model.named_parameters(),
    compression=compressors.make("minmax", bits=4),  # was: hvd.Compression.fp16
)
hvd.broadcast_parameters(model.state_dict(), root_rank=0)

for _ in range(60):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()

accuracy = float((model(images).argmax(1) == labels).float().mean())
if hvd.rank() == 0:
    sent = optimizer.report.bytes_sent / optimizer.exchange_count
    print(f"accuracy on rank 0's images {accuracy:.3f}; {sent / 1e3:.1f} kB an update on each of {hvd.size()} rank(s)")
