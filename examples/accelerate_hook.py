"""Accelerate: DDP's communication hook is registered on the prepared model; PowerSGD with error feedback.

Run it with `torchrun --nproc-per-node 3 examples/accelerate_hook.py` or `accelerate launch`.
"""

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits

import compressors
import hvd_qgenx.ddp

accelerator = Accelerator(cpu=True)
rank, size = accelerator.process_index, accelerator.num_processes
torch.manual_seed(0)

images, labels = (torch.from_numpy(each[rank::size]) for each in load_digits(return_X_y=True))
images, labels = (images / 16).float(), labels.long()
net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
model, optimizer = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9))
state = hvd_qgenx.ddp.State(model, compressors.make("powersgd", matrix_rank=4), feedback="error")
model.register_comm_hook(state, hvd_qgenx.ddp.hook)  # DistributedDataParallelKwargs knows torch's own hooks only

for _ in range(60):
    optimizer.zero_grad()
    accelerator.backward(torch.nn.functional.cross_entropy(model(images), labels))
    optimizer.step()

accuracy = float((model(images).argmax(1) == labels).float().mean())
sent = state.report.bytes_sent / state.exchange_count
accelerator.print(
    f"accuracy on rank 0's images {accuracy:.3f}; {sent / 1e3:.1f} kB an update on each of {size} rank(s)"
)
accelerator.end_training()
