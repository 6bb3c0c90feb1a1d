"""CHOCO-SGD on a ring: a rank tells its two neighbours one bit a coordinate, and nobody else anything.

Run it with `python examples/gossip_ring.py`.
"""

import torch
from sklearn.datasets import load_digits

import compressors
from hvd_qgenx import DecentralizedOptimizer
from hvd_qgenx.transport.inprocess import InProcess, run


def train(transport: InProcess) -> tuple[float, float, int]:
    """Returns the accuracy of this rank's own model and of the mean of all, and the bytes that the rank has sent."""
    images, labels = (torch.from_numpy(each) for each in load_digits(return_X_y=True))
    images, labels = (images / 16).float(), labels.long()
    mine = slice(transport.rank, None, transport.size)
    draw = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    for parameter in model.parameters():  # torch's own generator is shared by threads
        torch.nn.init.normal_(parameter, std=0.1, generator=draw)
    optimizer = DecentralizedOptimizer(
        torch.optim.SGD(model.parameters(), lr=0.2),
        model.named_parameters(),
        compression=compressors.make("sign"),
        topology="ring",
        gossip="choco",
        transport=transport,
    )
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[mine]), labels[mine]).backward()
        optimizer.step()

    def accuracy() -> float:
        return float((model(images).argmax(1) == labels).float().mean())

    own = accuracy()
    with optimizer.averaged():
        return own, accuracy(), optimizer.report.bytes_sent


own, mean, sent = run(8, train)[0]
print(
    f"accuracy of rank 0's model {own:.3f}, of the mean of all {mean:.3f}; {sent / 150 / 1e3:.1f} kB an update and rank"
)
