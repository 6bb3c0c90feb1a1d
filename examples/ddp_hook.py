"""DDP's communication hook, swapped: PowerSGD with error feedback, and bytes that are counted.

Run it with `torchrun --nproc-per-node 3 examples/ddp_hook.py`.
"""

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel

import compressors
import hvd_qgenx.ddp

dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)

images, labels = (torch.from_numpy(each[rank::size]) for each in load_digits(return_X_y=True))
images, labels = (images / 16).float(), labels.long()
net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
model = DistributedDataParallel(net)
state = hvd_qgenx.ddp.State(net, compressors.make("powersgd", matrix_rank=4), feedback="error")
model.register_comm_hook(state, hvd_qgenx.ddp.hook)  # was: PowerSGDState(...), powerSGD_hook
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)

for _ in range(60):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()

accuracy = float((model(images).argmax(1) == labels).float().mean())
if rank == 0:
    sent = state.report.bytes_sent / state.exchange_count
    print(f"accuracy on rank 0's images {accuracy:.3f}; {sent / 1e3:.1f} kB an update on each of {size} rank(s)")
dist.destroy_process_group()
