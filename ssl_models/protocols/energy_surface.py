"""What an energy looks like, what is drawn from it, and where it is flat.

Two faults of denoising autoencoders (LeCun & Canziani 2020, Deep Learning, NYU, week 8): their energy is flat where a
point might be led back to either side of the data, and in high dimensions there are too many places to push up. See
also Alain & Bengio 2014, JMLR 15. Legend: N samples, D numbers of a vector, G cells of a grid each way.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Generator, Tensor

from ssl_models.bounds import require_positive
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.encoders.rbm import RBM
from ssl_models.errors import DoesNotApply
from ssl_models.partition import Extent, device_of, extent_of
from ssl_models.protocols._common.intervals import bootstrap, wilson
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._density.model import energy_encoder, vectors
from ssl_models.protocols._energy_surface import panels
from ssl_models.protocols._energy_surface.landscape import (
    FLAT,
    Data,
    Landscape,
    data_of,
    descent,
    flat_in_truth,
    landscape,
    overlap,
)
from ssl_models.samplers.gibbs import gibbs
from ssl_models.samplers.langevin import langevin
from ssl_models.trainer import derive_seed

NEEDS = ("energy", "encoder", "samples", "known")
TITLE = "energy surface"
READING = (
    "Of two real numbers: overlap of the model's density with the true one, 100 % for the same; led back: the share of "
    "places off the data from which steepest descent ends on them, all or none if there is one basin; flat: that where "
    "the energy hardly slopes. Of 0 and 1: pair error, how far the moments of drawn samples are from those of test "
    "samples, less is better."
)
EVERY = True
HEADLINE = "overlap"
UNITS = {
    "overlap": "share",
    "led_back": "share",
    "flat": "share",
    "flat_in_truth": "share",
    "pair_error": "number",
    "pair_error_of_training": "number",
}
MOST = 2000
"""Training samples that tell where the data are."""
PATHS = 12
"""Descents that are drawn."""
STEPS = (0.2, 0.05)
"""Of Langevin dynamics, in deviations of the data, in turn: the short ones are taken where an energy is steep."""
FEWEST = 2
"""Points of a grid each way."""
RESAMPLES = 200
"""Of the bootstrap of pair_error."""


def evaluate(
    representation: Representation, *, seed: int, points: int = 64, draws: int = 512, steps: int = 200
) -> Findings:
    """Of vectors of two real numbers overlap, led_back and flat; of 0 and 1 pair_error; and pictures of either.

    overlap: the sum over a grid of the smaller of the model's and the true density, where `known["surface"]` is known.
    led_back and flat are shares of the cells off the data: farther from the fifth nearest of 2,000 training samples
    than 95 % of the test samples are, and at most 0.5 deviations outside of their box. Of fewer samples it is one in
    400, or the nearest. led_back: steepest descent on the energy, over at most 12 deviations, ends nearer than that. It
    is 0 for a flat energy, whatever the data, and 0 or 1 for one with a single basin, such as that of an untrained
    net: by whether its bottom happens to lie on the data. flat: the energy's slope is below 1 nat a deviation. Their
    intervals take cells for independent, which neighbours are not: they are narrow. overlap has none but itself.
    flat_in_truth: the same of the true surface, by differences of its cells. Where the surface is cut off, at the
    lowest log density that a reader tells, its slope is not known, and counts as steep.

    pair_error: the root mean square difference of the moments E[x_i x_j], i <= j, of samples drawn from the model and
    of test samples; by bootstrap over the latter. pair_error_of_training: the same of as many training samples as are
    drawn, its floor; the error of fewer samples is larger, so that it is too high where there are not as many.

    points: of the grid each way, where the true surface is not known; it has its own. draws: samples that are drawn
    from the model, by `steps` of Langevin dynamics from training samples, and as many from anywhere in the box, or of
    Gibbs sampling from random states.
    Raises DoesNotApply for an encoder without an energy, and for real vectors of another number than two or of unknown
    extent; NeedsParts for samples without vectors; ValueError for settings out of range.
    """
    refuse(points=points, draws=draws, steps=steps)
    encoder = energy_encoder(representation, "energy_surface")
    generator = Generator().manual_seed(derive_seed(seed, "energy_surface"))
    if encoder.binary:
        return _of_states(representation, encoder, generator, draws, steps, seed)
    train, test = (vectors(representation, split, "energy_surface", most=MOST) for split in ("train", "test"))
    extent = extent_of(representation.known)
    if extent is None or encoder.visible != 2:
        lacks = "the extent of these is not known" if encoder.visible == 2 else f"these are {encoder.visible}"
        raise DoesNotApply(f"the surface of an energy is drawn for two real numbers in a known box, and {lacks}")
    return _of_points(representation, encoder, (train, test), extent, generator, points, draws, steps)


def refuse(*, points: int = 64, draws: int = 512, steps: int = 200) -> None:
    """Raises ValueError for settings out of range."""
    require_positive(draws=draws, steps=steps)
    if points < FEWEST:
        raise ValueError(f"points is {points}; a surface takes at least {FEWEST} each way")


# ---- two real numbers


def _of_points(
    representation: Representation,
    encoder: EnergyEncoder,
    samples: tuple[Tensor, Tensor],
    extent: Extent,
    generator: Generator,
    points: int,
    draws: int,
    steps: int,
) -> Findings:
    (train, test), true = samples, _true_surface(representation)
    data = data_of(train, test)
    found = landscape(encoder, extent, points if true is None else len(true), data)
    starts = found.points[torch.from_numpy(found.off)]
    order = torch.randperm(len(starts), generator=generator)
    ends, paths = descent(encoder, starts[order], PATHS)
    back = int(data.near(ends).sum())
    flat = found.off & (found.slope < FLAT)
    scores = [] if true is None else [_exactly("overlap", overlap(found.log_density, true.ravel(), found.cell))]
    if len(starts):
        scores += [_share("led_back", back, len(starts)), _share("flat", int(flat.sum()), len(starts))]
    drawn = _drawn(encoder, data, draws, steps, generator)
    picture = _surface(data, extent, found, true, flat, test[:draws].numpy(), drawn, paths)
    if true is not None and found.off.any():
        scores.append(_exactly("flat_in_truth", flat_in_truth(true, extent, found.off)))
    return Findings(scores, {"surface": picture})


def _drawn(encoder: EnergyEncoder, data: Data, draws: int, steps: int, generator: Generator) -> tuple[ndarray, ndarray]:
    """(draws, 2) each, drawn from the model: by chains that start at the data, and from anywhere in their box.

    Where these differ, chains do not get from one place to the other in so many steps.
    """
    rows = torch.randint(len(data.samples), (draws,), generator=generator)
    low, high = (torch.tensor(end) for end in data.box)
    anywhere = low + (high - low) * torch.rand(draws, 2, generator=generator)
    begin = torch.cat([data.samples[rows], anywhere]).to(device_of(encoder))
    ends = langevin(encoder.energy, begin, steps, STEPS, generator).cpu().numpy()
    return ends[:draws], ends[draws:]


def _true_surface(representation: Representation) -> ndarray | None:
    """(G, G) true log density [first][second], or None. Raises ValueError for one that is not square or not finite."""
    if "surface" not in representation.known:
        return None
    found = np.asarray(representation.known["surface"], np.float64)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not np.isfinite(found).all():
        raise ValueError(f"the known surface of shape {found.shape} must be square, and finite")
    return found


def _surface(
    data: Data,
    extent: Extent,
    found: Landscape,
    true: ndarray | None,
    flat: ndarray,
    test: ndarray,
    drawn: tuple[ndarray, ndarray],
    paths: ndarray,
) -> ndarray:
    side = (found.side, found.side)
    maps = [("model; from data, anywhere (orange)", found.log_density.reshape(side))]
    dots: list[tuple[ndarray, ...]] = [drawn]
    if true is not None:
        maps, dots = [("truth, and test samples", true), *maps], [(test,), *dots]
    (left, bottom), (right, top) = data.box
    window = (left, right), (bottom, top)
    return panels.surface(extent, window, maps, found.slope.reshape(side), flat.reshape(side), dots, paths)


def _share(metric: str, hits: int, trials: int) -> Score:
    return Score("", metric, hits / trials, *wilson(hits, trials))


def _exactly(metric: str, value: float) -> Score:
    return Score("", metric, value, value, value)


# ---- 0 and 1


def _of_states(
    representation: Representation,
    encoder: EnergyEncoder,
    generator: Generator,
    draws: int,
    steps: int,
    seed: int,
) -> Findings:
    train = vectors(representation, "train", "energy_surface", most=draws)
    begin = (torch.rand(draws, encoder.visible, generator=generator) < 0.5).float().to(device_of(encoder))
    drawn = gibbs(encoder, begin, steps, generator).cpu().numpy()
    test = vectors(representation, "test", "energy_surface").numpy()
    own = moments(drawn)

    def error(rows: ndarray) -> float:
        return float(np.sqrt(np.square(own - moments(test[rows])).mean()))

    value = error(np.arange(len(test)))
    scores = [Score("", "pair_error", value, *bootstrap(error, len(test), seed=seed, resamples=RESAMPLES))]
    floor = float(np.sqrt(np.square(moments(train.numpy()) - moments(test)).mean()))
    scores.append(_exactly("pair_error_of_training", floor))
    size = representation.known.get("grid")
    pictures = {} if size is None else {"samples": panels.sheets(drawn, test, size)}
    if size is not None and isinstance(encoder, RBM):
        pictures["filters"] = panels.filters(encoder.weight.detach().cpu().numpy(), size)
    return Findings(scores, pictures)


def moments(x: ndarray) -> ndarray:
    """(N, D) of 0 and 1 -> (D (D + 1) / 2,): the means of x_i x_j, i <= j."""
    rows = np.asarray(x, np.float64)
    products: ndarray = rows.T @ rows / len(rows)
    return products[np.triu_indices(rows.shape[1])]
