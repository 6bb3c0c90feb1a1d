"""Training of language models over in-process ranks: gradients, carried state, resume, perplexity, samples."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from compressors.random import generator
from hvd_qgenx.data.markov import markov_corpus
from hvd_qgenx.data.text import Corpus, Vocabulary
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.language import perplexity
from hvd_qgenx.tasks.language.sampling import continued
from hvd_qgenx.tasks.language.settings import RATES, LanguageConfig
from hvd_qgenx.tasks.language.task import LanguageTask, make_model
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess
from hvd_qgenx.transport.inprocess import InProcess

K = 3
SMALL = {"units": 8, "layers": 2, "batch_size": 7, "bptt": 5, "epochs": 2.0, "compress_from": 32}


def corpus(tokens: int = 300, different: int = 9) -> Corpus:
    random = torch.Generator().manual_seed(4)
    parts = {
        part: torch.randint(0, different, (count,), generator=random, dtype=torch.int32)
        for part, count in (("train", tokens), ("valid", 60), ("test", 103))
    }
    return Corpus("noise", Vocabulary(tuple("abcdefghijklmnop"[:different]), "words"), parts)


CORPUS = corpus()


def trainer(transport, **changes) -> Trainer:
    return Trainer(LanguageTask(LanguageConfig(**{**SMALL, **changes}).completed(), CORPUS, transport))


def gradients(transport, moves: int = 3, **changes) -> list[torch.Tensor]:
    """The mean gradients of a move, in which the model remembers the moves before."""
    run = trainer(transport, compressor="none", **changes)
    for move in range(moves):
        run.optimizers[0].zero_grad()
        run.task.fill_gradients(move)
        run.optimizers[0].synchronize()
    return [parameter.grad.to_dense().clone() for parameter in run.task.model.parameters()]


@pytest.mark.parametrize("changes", [{}, {"model": "transformer"}, {"tied": False, "sparse_embedding": True}], ids=str)
def test_ranks_together_have_the_gradient_of_all_streams(changes):
    (whole,) = inprocess.run(1, lambda transport: gradients(transport, **changes))
    for split in inprocess.run(K, lambda transport: gradients(transport, **changes)):
        for one, other in zip(whole, split, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_gradients_are_those_of_the_mean_loss_after_the_tokens_before():
    found = gradients(InProcess(), moves=2)
    model = trainer(InProcess()).task.model
    table = CORPUS.parts["train"][: 42 * 7].view(7, 42).long()
    with torch.no_grad():
        _, state = model(table[:, :5])
    logits, _ = model(table[:, 5:10], state)
    F.cross_entropy(logits.flatten(0, 1), table[:, 6:11].flatten()).backward()
    for one, other in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-4, atol=1e-7)


def test_the_memory_ends_with_the_epoch():
    run = trainer(InProcess(), compressor="none")
    while run.move < run.task.streams.stretches + 1:
        run.advance()
    again = trainer(InProcess(), compressor="none")
    again.task.model.load_state_dict(run.task.model.state_dict())
    for each in (run, again):
        each.optimizers[0].zero_grad()
        each.task.memory = None if each is again else each.task.memory
        each.task.fill_gradients(2 * run.task.streams.stretches)
        each.optimizers[0].synchronize()
    for one, other in zip(run.task.model.parameters(), again.task.model.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_rows_of_a_sparse_embedding_cost_less_and_give_the_same_steps():
    def work(transport, sparse: bool):
        run = trainer(transport, tied=False, sparse_embedding=sparse, compressor="none", clip_norm=0.1, units=64)
        for _ in range(6):
            run.advance()
        return [parameter.detach().clone() for parameter in run.task.model.parameters()], run.replica_hash()

    dense, rows = (inprocess.run(2, lambda t, s=sparse: work(t, s)) for sparse in (False, True))
    assert rows[0][1] == rows[1][1]
    for one, other in zip(dense[0][0], rows[0][0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"sparse_embedding": True},
        {"sparse_embedding": True, "tied": False, "optimizer": "adam"},
        {"sparse_embedding": True, "tied": False, "feedback": "error"},
        {"sparse_embedding": True, "tied": False, "mixing": "choco"},
        {"model": "transformer", "units": 9, "heads": 4},
        {"batch_size": 2},
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(changes):
    with pytest.raises(ConfigurationError):
        LanguageConfig(**{**SMALL, **changes}).completed().check(ranks=3)


@pytest.mark.parametrize("optimizer", RATES)
def test_every_optimizer_trains_and_keeps_replicas_equal(optimizer):
    def work(transport):
        run = trainer(transport, optimizer=optimizer, compressor="rotated")
        while run.updates < 3:
            run.advance()
        return run.replica_hash(), run.task.mean_losses()["train"]

    everyone = inprocess.run(2, work)
    assert everyone[0] == everyone[1]
    assert everyone[0][1] == pytest.approx(math.log(9), abs=0.5)


CHANGES = [
    {"dropout": 0.3},
    {"compressor": "intsgd", "coding": "huffman", "feedback": "error", "score_weights": "raw,ema"},
    {"optimizer": "extra-sgd", "compressor": "alq", "levels_at": "0,1"},
    {"model": "transformer", "dropout": 0.2, "optimizer": "adamw"},
    {"mixing": "choco", "compressor": "sign", "dropout": 0.1, "consensus_step_size": 0.3},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_resumed_after_any_move_it_goes_on_bit_for_bit(changes):
    def work(transport, resume_at):
        run = trainer(transport, **changes)
        for move in range(5):
            if move == resume_at:
                state = copy.deepcopy(run.state_dict())
                run = trainer(transport, **changes)
                run.load_state_dict(state)
            run.advance()
        return run.replica_hash(), run.report.bytes_sent, run.task.mean_losses()

    expected = inprocess.run(2, lambda t: work(t, None))
    for resume_at in range(1, 5):
        assert inprocess.run(2, lambda t, at=resume_at: work(t, at)) == expected


def test_ranks_whose_streams_change_begin_without_memory():
    def begin(transport):
        run = trainer(transport)
        run.advance()
        return run.state_dict()

    state = inprocess.run(2, begin)[0]

    def go_on(transport):
        run = trainer(transport)
        run.load_state_dict(resized(state, transport.size))
        remembered = run.task.memory is not None
        run.advance()
        return remembered, run.replica_hash()

    everyone = inprocess.run(3, go_on)
    assert [remembered for remembered, _ in everyone] == [False] * 3
    assert len({digest for _, digest in everyone}) == 1
    assert [remembered for remembered, _ in inprocess.run(2, go_on)] == [True] * 2


@pytest.mark.parametrize("model", ["lstm", "transformer"])
@pytest.mark.usefixtures("one_thread")
def test_perplexity_is_that_of_all_tokens_and_the_same_bits_for_any_number_of_ranks(model):
    task = trainer(InProcess(), model=model).task
    network, tokens = task.model.eval(), CORPUS.parts["test"]
    found = {
        ranks: inprocess.run(ranks, lambda t: perplexity.evaluate(network, tokens, task.config.bptt, task.device, t))
        for ranks in (1, 2, 3)
    }
    assert len({value for values in found.values() for value in values}) == 1
    losses = []
    for start in range(0, 102, 3):  # 102 tokens to predict, in 34 streams of 3
        part = tokens[start : start + 4].long()[None]
        logits, _ = network(part[:, :-1])
        losses.append(F.cross_entropy(logits[0].double(), part[0, 1:], reduction="sum").item())
    assert found[1][0] == pytest.approx(math.exp(sum(losses) / 102), rel=1e-6)


def test_a_perplexity_beyond_any_float_is_infinite():
    task = trainer(InProcess()).task
    with torch.no_grad():
        task.model.decoder.bias[1:] = -1e4
    assert task.evaluate(1)["perplexity/raw"] == math.inf


def test_a_model_learns_the_chain_to_within_a_few_percent_of_its_floor():
    markov = markov_corpus("markov", 0)
    config = LanguageConfig(epochs=2.0, lr=20.0, lr_schedule="one-cycle", compressor="minmax").completed()

    def work(transport):
        run = Trainer(LanguageTask(config, markov, transport))
        while run.updates < run.task.updates:
            run.advance()
        return run.task.evaluate(run.task.updates)

    (found,) = inprocess.run(1, work)
    assert markov.floor is not None
    assert found["bias/perplexity"] == markov.floor
    assert markov.floor * 0.99 < found["perplexity/raw"] < 1.05 * markov.floor


def test_another_text_is_refused():
    state = trainer(InProcess()).task.state_dict()
    config = LanguageConfig(**SMALL).completed()
    LanguageTask.check_data(config, CORPUS, state)
    with pytest.raises(ConfigurationError, match=r"another vocabulary \(8 tokens, not 9\)"):
        LanguageTask.check_data(config, corpus(different=8), state)
    with pytest.raises(ConfigurationError, match="has changed since the run was trained on it"):
        LanguageTask.check_data(config, corpus(tokens=301), state)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_a_continuation_is_what_the_model_says_of_all_tokens_before(model):
    config = LanguageConfig(**{**SMALL, "model": model})
    network = make_model(config, 9).eval()
    network.initialize(generator(3), 1.0)
    window = config.bptt if model == "transformer" else None
    found = continued(network, [1, 2], 3, 0.0, 0, window)
    assert found[:2] == [1, 2]
    for end in (2, 3, 4):
        with torch.no_grad():
            assert found[end] == int(network(torch.tensor([found[:end]]))[0][0, -1].argmax())
    drawn = [continued(network, [1], 30, 1.0, seed, window) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
