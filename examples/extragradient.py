"""Extra-gradient in an ordinary loop: a game of two players that gradient steps circle around.

min over x, max over y of x^T A y, with A known on each rank up to noise of its own.

Run it with `python examples/extragradient.py` or
`horovodrun -np 3 -H localhost:3 python examples/extragradient.py`.
"""

import torch

import compressors
from hvd_qgenx import DistributedOptimizer, ExtraSGD
from hvd_qgenx.transport import launched

transport = launched()
noise = torch.Generator().manual_seed(transport.rank)
matrix = torch.eye(10) + 0.1 * torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
x, y = (torch.nn.Parameter(torch.ones(10)) for _ in range(2))

optimizer = DistributedOptimizer(
    ExtraSGD([{"params": [x], "player": "x"}, {"params": [y], "player": "y"}], lr=0.2),
    compression=compressors.make("uniform", bits=8),
    transport=transport,
)
for _ in range(300):
    for move in optimizer.moves():  # extrapolation, then step
        optimizer.zero_grad()
        seen = matrix + 0.01 * torch.randn(10, 10, generator=noise)
        x.grad, y.grad = seen @ y.detach(), -(seen.T @ x.detach())
        move()

if transport.rank == 0:
    distance = float(torch.cat([x, y]).detach().norm())
    print(f"distance to the solution: 4.472 -> {distance:.3f}, in {optimizer.exchange_count} exchanges")
