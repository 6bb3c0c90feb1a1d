"""Levels, and widths, of groups of tensors."""

import pytest
import torch

import compressors
from compressors import LayerWise
from compressors.layerwise import layer_wise

GROUPS = {"conv.weight": "convolution", "fc.weight": "linear", "out.weight": "linear", "mask": "mask"}


def vectors(seed: int) -> dict[str, torch.Tensor]:
    """Gradients of three groups: large ones, normal ones, and few that are equally large."""
    random = torch.Generator().manual_seed(seed)
    large, normal, signs = torch.randn(3, 12000, generator=random)
    signs[torch.rand(12000, generator=random) > 0.003] = 0
    return {"convolution": 1000 * large**3, "linear": normal, "mask": signs.sign()}


def observed(made: LayerWise) -> tuple[dict[str, list], dict[str, int]]:
    ranks = [vectors(rank) for rank in range(2)]
    found = {group: [learner.observe(each[group]) for each in ranks] for group, learner in made.learners.items()}
    return found, {group: len(ranks[0][group]) for group in found}


@pytest.mark.parametrize("name", ["alq", "alq-gd", "amq"])
def test_levels_of_a_group_are_those_fitted_to_its_vectors_alone(name):
    made = LayerWise(compressors.make(name, bits=3), GROUPS)
    statistics, sizes = observed(made)
    made.apply(made.fit(statistics, sizes))
    for group in statistics:
        alone = compressors.make(name, bits=3)
        alone.apply(alone.fit([alone.observe(vectors(rank)[group]) for rank in range(2)]))
        assert made.learners[group].levels == alone.levels
    assert made.parts["linear"] is made.route((9, 9), "fc.weight") is made.route((9, 9), "out.weight")


@pytest.mark.parametrize("weighting", ["global", "per-layer"])
def test_shared_bits_lower_the_error_that_they_are_shared_out_for(weighting):
    """And payloads of all groups take no more bits than with equal widths."""
    ends = {}
    for layer_bits in ("equal", weighting):
        made = LayerWise(compressors.make("alq", bits=4, seed=3), GROUPS, layer_bits)
        statistics, sizes = observed(made)
        made.apply(made.fit(statistics, sizes))
        errors, used = {}, 0
        for group, part in made.parts.items():
            vector = vectors(0)[group]
            payload, context = part.compress(vector)
            error = float((part.decompress(payload, context) - vector).square().sum())
            errors[group] = error if weighting == "global" else error / float(vector.square().sum())
            used += payload.nbytes
            assert payload.nbytes == part.payload_bytes(len(vector))
        ends[layer_bits] = sum(errors.values()), used
    widths = {group: learner.bits for group, learner in made.learners.items()}
    assert widths["mask"] < widths["linear"] if weighting == "per-layer" else widths["linear"] < widths["convolution"]
    assert sum(sizes[group] * bits for group, bits in widths.items()) <= 4 * sum(sizes.values())
    assert ends[weighting][0] < ends["equal"][0]
    assert ends[weighting][1] <= ends["equal"][1]


def test_groups_round_with_random_numbers_of_their_own():
    made = LayerWise(compressors.make("alq", bits=3, rounding="random"), GROUPS).for_rank(1, ranks=3)
    vector = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    decoded = [part.decompress(*part.compress(vector)) for part in made.parts.values()]
    assert len({tuple(values.tolist()) for values in decoded}) == len(decoded)


@pytest.mark.parametrize("coding", ["none", "huffman"])
def test_the_state_holds_levels_and_widths(coding):
    def make():
        inner = compressors.make("alq", bits=4, seed=3)
        inner = inner if coding == "none" else compressors.with_coding(inner, coding)
        return compressors.Exempt(LayerWise(inner, GROUPS, "global")).for_rank(1, ranks=2)

    one, two = make(), make()
    for each in (one, two):
        each.load_state_dict(each.state_dict())  # before the first level update
    made = layer_wise(one)
    made.apply(made.fit(*observed(made)))
    two.load_state_dict(one.state_dict())
    for name, group in GROUPS.items():
        first, second = (each.route((30, 200), name).compress(vectors(0)[group])[0] for each in (one, two))
        assert torch.equal(first, second)
    two.load_state_dict(make().state_dict())
    assert {learner.bits for learner in layer_wise(two).learners.values()} == {4}


def test_without_names_the_shape_decides():
    made = compressors.Exempt(LayerWise(compressors.make("alq")))
    groups = [layer_wise(made).group(shape) for shape in ((8, 3, 3, 3), (8, 3, 3), (30, 30), (9,))]
    assert groups == ["convolution", "convolution", "linear", "norm"]
    tensor = torch.randn(40, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    assert made.decompress(*made.compress(tensor)).shape == tensor.shape


def test_what_cannot_be_grouped_is_refused():
    with pytest.raises(ValueError, match="minmax has no levels to adapt to groups of tensors; alq"):
        LayerWise(compressors.make("minmax"))
    with pytest.raises(ValueError, match="there are no tensors to group"):
        LayerWise(compressors.make("alq"), {})
    with pytest.raises(ValueError, match="layer_bits must be one of equal, global, per-layer, not 'most'"):
        LayerWise(compressors.make("alq"), GROUPS, "most")
    made = LayerWise(compressors.make("alq"), GROUPS)
    with pytest.raises(ValueError, match=r"no group of levels has the tensor 'fd.weight'; there are convolution"):
        made.route((9, 9), "fd.weight")
    with pytest.raises(ValueError, match="groups by name need the names of tensors; give named_parameters"):
        made.route((9, 9))
