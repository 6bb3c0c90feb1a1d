"""Any optimizer made decentralized: against transcriptions, torch alone, itself resumed, and what must be refused."""

import io

import pytest
import torch
from torch import nn

import compressors
from hvd_qgenx import DecentralizedOptimizer, ExtraSGD, Gossip
from hvd_qgenx.errors import ConfigurationError, LocalError, TrainingError
from hvd_qgenx.gossip import registry
from hvd_qgenx.transport import inprocess

LR = 0.1
SIGN = compressors.make("sign", bucket_size=64)
FOUR_BITS = compressors.Exempt(compressors.make("minmax", bits=4, bucket_size=64), min_numel=32)
METHODS = [
    (Gossip("choco", 0.4), SIGN, "ring"),
    (Gossip("choco", 0.4, overlap=False), FOUR_BITS, "ring"),
    (Gossip("choco", 0.4, quasi_global_momentum=0.9), SIGN, "one-peer-exponential"),
    (Gossip("choco", 0.4), compressors.with_coding(compressors.make("minmax", bits=3), "huffman"), "base-k"),
    (Gossip("choco", 0.1, drop=0.2), SIGN, "star"),
    (Gossip("dpsgd", average_every=3), None, "random-matching"),
    (Gossip("dcd"), FOUR_BITS, "ring"),
    (Gossip("ecd"), None, "chain"),
    (Gossip("deepsqueeze", 0.4), FOUR_BITS, "random-matching"),
    (Gossip("lead", 0.5), FOUR_BITS, "complete"),
    (Gossip("beer", 0.4), FOUR_BITS, "one-peer-exponential"),
    (Gossip("motef", 0.4), SIGN, "ring"),
    (Gossip("relay", drop=0.2), None, "chain"),
]
NAMES = [f"{gossip.mixing}-{topology}-{number}" for number, (gossip, _, topology) in enumerate(METHODS)]


def model(seed: int = 0) -> nn.Module:
    random = torch.Generator().manual_seed(seed)  # ranks are threads, which share torch's own
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 5)).to(memory_format=torch.channels_last)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.0, 0.2, generator=random)
    return net


def fill_gradients(net: nn.Module, rank: int, step: int) -> None:
    inputs = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(100 * step + rank))
    net.zero_grad()
    (net(inputs) - rank).square().mean().backward()


def flat(net: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def make(net, transport, gossip, compression=None, topology="ring", optimizer=None):
    return DecentralizedOptimizer(
        optimizer or torch.optim.SGD(net.parameters(), lr=LR),
        net.named_parameters(),
        compression,
        topology=registry.make(topology, transport.size),
        gossip=gossip,
        transport=transport,
    )


def trained(transport, gossip, compression=None, topology="ring", steps=6, stops=(), optimizer=torch.optim.SGD):
    """This rank's parameters after some steps; before some, optimizer and model are made anew from saved state."""

    def build(net):
        return make(net, transport, gossip, compression, topology, optimizer(net.parameters(), lr=LR))

    net = model()
    made = build(net)
    for step in range(steps):
        if step in stops:
            file = io.BytesIO()
            torch.save(made.state_dict(), file)
            file.seek(0)
            net = model(seed=5)
            made = build(net)
            made.load_state_dict(torch.load(file, weights_only=True))
        fill_gradients(net, transport.rank, step)
        made.step()
    made.finish()
    made.check_links()
    return flat(net)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize(("gossip", "compression", "topology"), METHODS, ids=NAMES)
def test_a_run_resumed_between_any_two_steps_has_the_same_bits(gossip, compression, topology, ranks):
    whole = inprocess.run(ranks, lambda transport: trained(transport, gossip, compression, topology))
    again = inprocess.run(
        ranks, lambda transport: trained(transport, gossip, compression, topology, stops=(1, 2, 3, 4, 5))
    )
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("mixing", ["choco", "dpsgd", "dcd", "deepsqueeze", "lead", "relay"])
def test_one_rank_alone_is_torch(mixing):
    net = model()
    plain = torch.optim.SGD(net.parameters(), lr=LR)
    for step in range(4):
        fill_gradients(net, 0, step)
        plain.step()
    compression = None if mixing in ("dpsgd", "relay") else FOUR_BITS
    (found,) = inprocess.run(1, lambda transport: trained(transport, Gossip(mixing), compression, "chain", steps=4))
    torch.testing.assert_close(found, flat(net), rtol=0, atol=1e-6)


def gradients_at(points: torch.Tensor, step: int) -> torch.Tensor:
    """The gradients of all ranks, (n, d), at the rows of ``points``."""
    rows = []
    for rank, point in enumerate(points):
        net = model()
        nn.utils.vector_to_parameters(point, net.parameters())
        fill_gradients(net, rank, step)
        rows.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    return torch.stack(rows)


def test_dpsgd_mixes_with_the_matrix():
    matrix = torch.from_numpy(registry.make("star", 5).matrix(0)).float()
    expected = flat(model()).repeat(5, 1)
    for step in range(4):
        expected = matrix @ (expected - LR * gradients_at(expected, step))
    found = inprocess.run(5, lambda transport: trained(transport, Gossip("dpsgd"), None, "star", steps=4))
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("overlap", [True, False])
def test_choco_is_the_algorithm_of_its_papers(overlap):
    matrix, gamma = torch.from_numpy(registry.make("ring", 4).matrix(0)).float(), 0.4
    start = torch.randn(40, generator=torch.Generator().manual_seed(0))
    targets = torch.randn(4, 40, generator=torch.Generator().manual_seed(1))
    x = known = start.repeat(4, 1)
    sent = torch.zeros_like(x)

    def signs(vectors: torch.Tensor) -> torch.Tensor:
        return vectors.abs().mean(1, keepdim=True) * torch.where(vectors >= 0, 1.0, -1.0)

    def mixed(x, known):
        return x + gamma * (matrix @ known - known)

    for _ in range(5):
        x = x - LR * (x - targets)
        if overlap:  # Algorithm 1 of the deep-learning paper
            known = known + sent
            x = mixed(x, known)
            sent = signs(x - known)
        else:
            known = known + signs(x - known)
            x = mixed(x, known)

    def work(transport):
        net = nn.Linear(8, 5, bias=False)
        nn.init.zeros_(net.weight).data += start.view(5, 8)
        made = make(net, transport, Gossip("choco", gamma, overlap=overlap), SIGN)
        for _ in range(5):
            net.weight.grad = net.weight.detach() - targets[transport.rank].view(5, 8)
            made.step()
        return flat(net)

    torch.testing.assert_close(torch.stack(inprocess.run(4, work)), x, rtol=1e-5, atol=1e-6)


def test_all_ranks_start_from_the_first():
    def work(transport):
        net = model(seed=transport.rank)
        made = make(net, transport, Gossip("choco", 0.4), SIGN)
        assert made.consensus_distance() == 0
        return flat(net)

    first, *others = inprocess.run(4, work)
    assert torch.equal(first, flat(model(seed=0)))
    for other in others:
        assert torch.equal(other, first)


def test_the_mean_moves_by_the_mean_of_local_steps():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 0.4, overlap=False), SIGN)
        fill_gradients(net, transport.rank, 0)
        made.step()
        return flat(net)

    start = flat(model()).repeat(5, 1)
    mean = (start - LR * gradients_at(start, 0)).mean(0)
    torch.testing.assert_close(torch.stack(inprocess.run(5, work)).mean(0), mean, rtol=0, atol=1e-6)


def test_averages_of_all_ranks():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 0.4), SIGN)
        fill_gradients(net, transport.rank, 0)
        made.step()
        made.finish()
        before = flat(net)
        with made.averaged():
            inside = flat(net)
        assert torch.equal(flat(net), before)
        distance = made.consensus_distance()
        made.average()
        assert made.consensus_distance() == 0
        return before, inside, flat(net), distance

    before, inside, after, distances = zip(*inprocess.run(4, work), strict=True)
    mean = torch.stack(before).mean(0)
    for vector in (*inside, *after):
        assert torch.equal(vector, inside[0])
        torch.testing.assert_close(vector, mean)
    away = (torch.stack(before) - mean).square().sum(1).mean().sqrt() / mean.norm()
    assert distances == pytest.approx([float(away)] * 4, rel=1e-4)


def test_bytes_are_those_of_payloads_to_neighbours():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 0.4), FOUR_BITS, "star")
        for step in range(3):
            fill_gradients(net, transport.rank, step)
            made.step()
        made.finish()
        return made.report.bytes_sent, made.bytes_to

    large = sum(p.numel() for p in model().parameters() if p.dim() > 1)
    small = sum(p.numel() for p in model().parameters() if p.dim() == 1)
    payload = 4 + FOUR_BITS.inner.payload_bytes(large) + 4 * small  # with the factor that makes it a contraction
    centre, *others = inprocess.run(4, work)
    assert centre == (9 * payload, dict.fromkeys((1, 2, 3), 3 * payload))
    assert others == [(3 * payload, {0: 3 * payload})] * 3


@pytest.mark.usefixtures("one_thread")
def test_lost_messages_are_the_same_every_time():
    gossip = Gossip("dpsgd", drop=0.3)
    runs = [inprocess.run(4, lambda transport: trained(transport, gossip)) for _ in range(2)]
    whole = inprocess.run(4, lambda transport: trained(transport, Gossip("dpsgd")))
    for one, again, all_heard in zip(*runs, whole, strict=True):
        assert torch.equal(one, again)
        assert not torch.equal(one, all_heard)


def test_a_gradient_that_is_not_finite_ends_all_by_name():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 0.4, overlap=False), SIGN)
        fill_gradients(net, transport.rank, 0)
        if transport.rank == 2:
            net[0].weight.grad[0, 0, 0, 0] = torch.nan
        try:
            made.step()
        except LocalError as error:
            return str(error)
        return None

    found = inprocess.run(4, work)
    assert found[2] == "Inf or NaN in parameters on rank 2: parameter '0.weight'"
    assert found[1] == found[3] == "rank 2 sent Inf or NaN to its neighbours"
    assert found[0] is None  # which is no neighbour, and would wait for one in the next step


def test_a_step_size_above_the_limit_ends_in_a_sentence():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 30.0), SIGN)
        for step in range(100):
            fill_gradients(net, transport.rank, step)
            made.step()

    with pytest.raises(LocalError, match=r"gossip diverges: .* lower the consensus step size, which is 30"):
        inprocess.run(4, work)


def test_an_overflow_of_one_rank_skips_its_local_step_alone():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("dpsgd"), topology="complete")
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        before = flat(net)
        inputs = torch.ones(2, 2, 4, 4)
        scaler.scale(net(inputs).sum()).backward()
        if transport.rank == 1:
            net[2].bias.grad[0] = torch.inf
        scaler.step(made)
        scaler.update()
        return flat(net) - before, scaler.get_scale()

    (moved, scale), (other, lowered) = inprocess.run(2, work)
    assert (scale, lowered) == (8.0, 4.0)
    torch.testing.assert_close(moved, other)  # both have half of rank 0's step
    net = model()
    net(torch.ones(2, 2, 4, 4)).sum().backward()
    torch.testing.assert_close(moved, -LR / 2 * torch.cat([p.grad.flatten() for p in net.parameters()]))


def test_a_scaler_is_refused_where_every_step_sends_gradients():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("beer", 0.4), SIGN)
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(net(torch.ones(2, 2, 4, 4)).sum()).backward()
        scaler.step(made)

    with pytest.raises(ConfigurationError, match="beer sends gradients in every step"):
        inprocess.run(2, work)


def test_state_of_another_number_of_ranks_keeps_parameters_and_begins_replicas_anew():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 0.4), FOUR_BITS)
        for step in range(3):
            fill_gradients(net, transport.rank, step)
            made.step()
        return made.state_dict(), flat(net)

    states, vectors = zip(*inprocess.run(4, work), strict=True)

    def go_on(transport):
        net = model(seed=3)
        made = make(net, transport, Gossip("choco", 0.8, overlap=False), FOUR_BITS)
        made.load_state_dict(states[transport.rank])
        loaded = flat(net)
        for _ in range(50):
            net.zero_grad()
            made.step()
        made.check_links()
        return loaded, made.consensus_distance(), flat(net)

    loaded, distances, after = zip(*inprocess.run(3, go_on), strict=True)
    for one, other in zip(loaded, vectors[:3], strict=True):
        assert torch.equal(one, other)
    assert distances[0] < 1e-4
    torch.testing.assert_close(after[0], torch.stack(loaded).mean(0), rtol=1e-3, atol=1e-4)


def test_links_whose_ends_differ_are_found():
    def work(transport):
        net = model()
        made = make(net, transport, Gossip("choco", 0.4), SIGN)
        fill_gradients(net, transport.rank, 0)
        made.step()
        made.synchronize()
        if transport.rank == 3:
            made._parts[0].wire.received[2] ^= 1
        made.check_links()

    with pytest.raises(TrainingError, match="from rank 2 to 3"):
        inprocess.run(4, work)


def adam_groups(net):
    return [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters(), "lr": 0.2}]


@pytest.mark.parametrize(
    ("gossip", "compression", "topology", "optimizer", "sentence"),
    [
        ("choco", None, "ring", lambda net: ExtraSGD(net.parameters(), lr=0.1), "extrapolates"),
        ("dpsgd", SIGN, "ring", None, "sends vectors uncompressed; use none, or choco with sign"),
        ("choco", compressors.make("intsgd"), "ring", None, "what all ranks add up"),
        ("choco", compressors.make("alq"), "ring", None, "learns levels from all ranks"),
        ("choco", SIGN, "random-matching", None, "never comes again; use dpsgd or deepsqueeze"),
        ("lead", FOUR_BITS, "exponential", None, "needs a symmetric graph; exponential is directed"),
        ("dcd", FOUR_BITS, "one-peer-exponential", None, "needs a graph that does not change"),
        ("relay", None, "ring", None, "needs a tree, like chain or star; ring has 4 edges"),
        (
            Gossip("choco", quasi_global_momentum=0.9),
            SIGN,
            "ring",
            lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
            "stands in for the optimizer's own",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(gossip, compression, topology, optimizer, sentence):
    def work(transport):
        net = model()
        make(net, transport, gossip, compression, topology, optimizer and optimizer(net))

    with pytest.raises(ConfigurationError, match=sentence):
        inprocess.run(4, work)


def test_values_out_of_limits_are_refused():
    for wrong in ({"consensus_step_size": 0.0}, {"memory": 0.0}, {"quasi_global_momentum": 1.0}, {"average_every": -1}):
        with pytest.raises(ConfigurationError):
            Gossip("choco", **wrong)
    with pytest.raises(ConfigurationError, match="choco"):
        inprocess.run(1, lambda transport: make(model(), transport, "chocco"))


def test_biased_compressors_for_methods_that_want_unbiased_ones_get_a_warning(logged):
    inprocess.run(1, lambda transport: make(model(), transport, "dcd", SIGN))
    assert "dcd is made for unbiased compressors, and sign is biased" in logged.text


def test_several_step_sizes_are_refused_where_one_is_needed():
    def work(transport):
        net = model()
        made = make(net, transport, "lead", FOUR_BITS, optimizer=torch.optim.SGD(adam_groups(net)))
        fill_gradients(net, 0, 0)
        made.step()

    with pytest.raises(ConfigurationError, match="one step size lr for all parameter groups"):
        inprocess.run(2, work)


def test_ranks_that_disagree_are_refused():
    def graphs(transport):
        make(model(), transport, "choco", SIGN, "ring" if transport.rank else "star")

    def plans(transport):
        make(model(), transport, Gossip("choco", 0.1 * (1 + transport.rank)), SIGN)

    with pytest.raises(ConfigurationError, match="ranks 0 and 1 were given different topologies"):
        inprocess.run(4, graphs)
    with pytest.raises(ConfigurationError, match="ranks 0 and 1 were to mix differently"):
        inprocess.run(4, plans)
    with pytest.raises(ConfigurationError, match="the topology has 4 ranks, and there are 3"):
        inprocess.run(
            3,
            lambda transport: DecentralizedOptimizer(
                torch.optim.SGD(model().parameters(), lr=1.0), topology=registry.make("ring", 4), transport=transport
            ),
        )


def test_parameters_that_leave_the_buffer_are_refused():
    def moved(transport):
        net = model()
        made = make(net, transport, "choco", SIGN)
        net[0].weight.data = net[0].weight.data.clone()
        made.step()

    def thawed(transport):
        net = model()
        net[0].weight.requires_grad_(False)
        made = make(net, transport, "choco", SIGN)
        net[0].weight.requires_grad_(True)
        made.step()

    with pytest.raises(ConfigurationError, match=r"'0.weight' was moved or replaced"):
        inprocess.run(1, moved)
    with pytest.raises(ConfigurationError, match="unfreeze before"):
        inprocess.run(1, thawed)
    with pytest.raises(ConfigurationError, match="takes no further parameters"):
        inprocess.run(
            1, lambda transport: make(model(), transport, "choco").add_param_group({"params": [torch.zeros(1)]})
        )
