"""Language models: their sizes, what they see, what they remember, their random numbers."""

import copy

import pytest
import torch

from compressors.random import generator
from hvd_qgenx.tasks.language.models.base import LanguageModel
from hvd_qgenx.tasks.language.settings import LanguageConfig
from hvd_qgenx.tasks.language.task import make_model

TOKENS = torch.randint(0, 11, (2, 9), generator=torch.Generator().manual_seed(1))


def made(vocabulary: int = 11, **changes) -> LanguageModel:
    config = LanguageConfig(**{"units": 12, "heads": 3, "layers": 2, "bptt": 9, **changes})
    model = make_model(config, vocabulary)
    model.initialize(generator(0), config.init_range)
    return model


def count(model: LanguageModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_lstm_of_the_paper_has_its_number_of_parameters():
    with torch.device("meta"):
        model = make_model(LanguageConfig(layers=3, units=650, dropout=0.4), 33_278)
    assert count(model) == 31_819_578


@pytest.mark.parametrize(("tied", "more"), [(True, 0), (False, 11 * 12)])
def test_sizes(tied, more):
    assert count(made(tied=tied)) == 11 * 12 + 11 + 2 * (4 * 12 * 24 + 8 * 12) + more
    layer = 12 * 36 + 36 + 12 * 12 + 12 + 2 * (4 * 12 * 12) + 48 + 12 + 4 * 12
    assert count(made(model="transformer", tied=tied)) == 11 * 12 + 11 + 9 * 12 + 2 * layer + 24 + more


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_what_follows_a_token_does_not_change_its_prediction(model):
    network = made(model=model).eval()
    changed = TOKENS.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    before, after = network(TOKENS)[0], network(changed)[0]
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(-1).all()


def test_a_carried_state_makes_two_stretches_one():
    network = made().eval()
    whole, _ = network(TOKENS)
    first, state = network(TOKENS[:, :4])
    second, _ = network(TOKENS[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_dropout_is_a_function_of_its_generator(model):
    network = made(model=model, dropout=0.5)

    def run(seed: int) -> torch.Tensor:
        torch.rand(3)  # the global generator plays no part
        network.masks.generator = generator(seed)
        return network(TOKENS)[0]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(network.eval()(TOKENS)[0], network(TOKENS)[0])


def test_dropout_keeps_the_mean_and_the_share():
    network = made(dropout=0.3)
    network.masks.generator = generator(5)
    dropped = network.dropout(torch.ones(200, 200))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_first_weights_are_a_function_of_the_words_and_reach_everything(model):
    network = made(model=model)
    again = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.fill_(float("nan"))
    again.initialize(generator(0), 0.1)
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
