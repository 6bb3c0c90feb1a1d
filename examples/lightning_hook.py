"""Lightning: a callback registers DDP's communication hook, and PowerSGD with error feedback compresses gradients.

Run it with `python examples/lightning_hook.py`: Lightning starts the other two ranks.
"""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import compressors
import hvd_qgenx.ddp
from hvd_qgenx.data.vision import torchvision

torchvision()  # lets Lightning import a torchvision for CUDA beside a torch for CPU; not needed where they match
import pytorch_lightning as lightning  # noqa: E402


class Compressed(lightning.Callback):
    """Registers the hook on any device; ``DDPStrategy(ddp_comm_hook=...)`` does so on CUDA's alone."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        model = trainer.strategy.model
        self.state = hvd_qgenx.ddp.State(model, compressors.make("powersgd", matrix_rank=4), feedback="error")
        model.register_comm_hook(self.state, hvd_qgenx.ddp.hook)


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))

    def train_dataloader(self) -> DataLoader:
        images, labels = (
            torch.from_numpy(each[self.global_rank :: self.trainer.world_size]) for each in load_digits(return_X_y=True)
        )
        self.dataset = TensorDataset((images / 16).float(), labels.long())
        return DataLoader(self.dataset, batch_size=len(self.dataset))

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9)


torch.manual_seed(0)
module, compressed = Digits(), Compressed()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
given = {"accelerator": "cpu", "devices": 3, "strategy": "ddp", "use_distributed_sampler": False, "max_epochs": 60}
trainer = lightning.Trainer(callbacks=[compressed], log_every_n_steps=1, **given, **quiet)
trainer.fit(module)

if trainer.is_global_zero:
    images, labels = module.dataset[:]
    accuracy = float((module.net(images).argmax(1) == labels).float().mean())
    sent, size = compressed.state.report.bytes_sent / compressed.state.exchange_count, trainer.world_size
    print(f"accuracy on rank 0's images {accuracy:.3f}; {sent / 1e3:.1f} kB an update on each of {size} rank(s)")
