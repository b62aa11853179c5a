"""Audio-visual correspondence: does this sound belong to this frame? (Arandjelovic & Zisserman 2017, arXiv:1705.08168)

"Look, Listen and Learn" (L3) answers from both networks' vectors together. "Objects that Sound" (2018,
arXiv:1712.06651) does so from how near they are in a common space: AVE-Net, section 3, from a distance, and AVOL-Net,
section 4.1, from the position of the frame that is most like the sound, which so learns where it comes from.

No frame tells anything by itself: the false pairs of each weigh as much as its true one. Nor does a sound, with
negatives "one" or where the sources of a batch are equally frequent. Where they are not, with "all", the sounds of a
frequent source are in less of the false pairs than those of a rare one, and how frequent it is may be heard: with two
clips of one source and one of each of two others, false pairs weigh 2/3 of a true one for the sounds of the first, and
4/3 for the others.

What could tell both apart from the others of a batch without any object in them: the same recording (false pairs are of
different ones), and how loud it is (a gain changes nothing that the encoder hears, see encoders/spectrogram.py; how far
noise lies below the sound stays, and would tell where frames show it too).

Letters: B clips of T frames, S samples of sound, E numbers of an embedding, (H', W') positions of a map.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.two_tower import LAST, SOUND, TwoTower, similarities
from ssl_models.method import Method, Scored
from ssl_models.modalities import image, sound
from ssl_models.views.drawing import below
from ssl_models.views.photometric import colour_jitter, require_jitter

SCALE = 5.0
"""Of similarities and distances, at the start."""
ALL = "behw,ce->bchw"
"""Every frame of a batch with every sound."""
NEGATIVES = ("all", "one")
OBJECTIVES = ("logistic", "info_nce")


class Concat(nn.Module):
    """(B, E, H', W') and (C, E) -> (B, C) logits: the mean position and the sound together through two layers (L3)."""

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * embedding, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 1))

    def forward(self, places: Tensor, heard: Tensor) -> Tensor:
        seen = places.mean((2, 3))
        pairs = torch.cat(
            [seen[:, None].expand(-1, len(heard), -1), heard[None].expand(len(seen), -1, -1)], dim=2
        )  # (B, C, 2 E)
        logits: Tensor = self.layers(pairs)
        return logits[..., 0].float()


class Distance(nn.Module):
    """(B, E, H', W') and (C, E) -> (B, C) logits: bias - scale * distance of the mean position and the sound (AVE-Net).

    Of vectors of length 1, so that the distance lies in [0, 2]. At the start, those at right angles have a logit of 0.
    """

    def __init__(self, embedding: int, hidden: int) -> None:  # noqa: ARG002 - as all fusions
        super().__init__()
        self.scale, self.bias = scalar(SCALE), scalar(SCALE * math.sqrt(2))

    def forward(self, places: Tensor, heard: Tensor) -> Tensor:
        cosines = similarities(places.mean((2, 3), keepdim=True), heard, ALL)[..., 0, 0]
        distances = (2 - 2 * cosines).clamp(min=1e-6).sqrt()  # the root has no slope at 0
        return self.bias - self.scale * distances


class Map(nn.Module):
    """(B, E, H', W') and (C, E) -> (B, C) logits: scale * similarity + bias, of positions the maximum (AVOL-Net)."""

    def __init__(self, embedding: int, hidden: int) -> None:  # noqa: ARG002 - as all fusions
        super().__init__()
        self.scale, self.bias = scalar(SCALE), scalar(0.0)

    def forward(self, places: Tensor, heard: Tensor) -> Tensor:
        return (self.scale * similarities(places, heard, ALL) + self.bias).amax((2, 3))


class SoftMap(nn.Module):
    """(B, E, H', W') and (C, E) -> (B, C) logits: log mean exp over positions of scale * similarity, and a bias.

    Between the mean and the maximum, and the nearer to the maximum the larger the scale, which is learnt. So every
    position has a gradient, where the maximum has one: at first that is any.
    """

    def __init__(self, embedding: int, hidden: int) -> None:  # noqa: ARG002 - as all fusions
        super().__init__()
        self.scale, self.bias = scalar(SCALE), scalar(0.0)

    def forward(self, places: Tensor, heard: Tensor) -> Tensor:
        scaled = (self.scale * similarities(places, heard, ALL)).flatten(2)  # (B, C, H' * W')
        return scaled.logsumexp(2) - math.log(scaled.shape[2]) + self.bias


FUSIONS: dict[str, type[Concat | Distance | Map | SoftMap]] = {
    "concat": Concat,
    "distance": Distance,
    "map": Map,
    "soft_map": SoftMap,
}


class AudioVisual(Method):
    """Whether a frame and a sound are of one clip: true pairs against false ones.

    True: a frame drawn from a clip, and the clip's sound. False: that frame, and sounds of another `source` where there
    is one. With K equally frequent classes of which a pair is to be told, one false pair in K is of a single class and
    cannot be told: the accuracy then ends at 1 - 1 / (2 K), .958 for 12 classes; with a second object in the frame at
    1 - 1 / K for those frames.

    The papers train on clips of 10 s of AudioSet or Flickr, with a frame of 224 px and 1 s of sound at 48 kHz, by Adam
    with a weight decay of 1e-5, in batches of 256.

    objective: "logistic": does this sound belong to this frame, true and false pairs with half of the weight each;
        chance is log 2. "info_nce": which of the sounds belongs to this frame, and which of the frames to this sound
        (van den Oord et al. 2018, arXiv:1807.03748, eq. 4, both ways); chance is the log of how many there are, 1 more
        than the false ones. Default "logistic". Paper "logistic".
    fusion: what decides. "concat": two layers over both embeddings, concatenated; L3 has its networks' vectors there.
        "distance": of the embeddings, as AVE-Net. "map": the position most like the sound, as AVOL-Net, which is made
        to say where it comes from. "soft_map": a smooth maximum over positions in its place. On `world_sound` (4,096
        clips of 64 px and 8 epochs with the settings of params.yaml, 75 seconds of one core, one seed), the maximum of
        the map lay in the box of what sounds in 94 % of 1,024 test clips, and with "map" in 91 %; with another seed it
        was 97 % and 16 %. Default "soft_map". Paper "concat" (2017), "distance" and "map" (2018).
    negatives: the sounds that each frame is shown with besides its own. Default "all": those of the batch that are of
        other sources, or all others where there is one source only; of each frame's their mean cost counts. Where the
        sources of a batch are equally frequent, it has the expectation of "one", and a far smaller variance. "one":
        another order of the batch, see `derangement`. Paper "one".
    hidden: units between the two layers of "concat". Default 128. Paper 128.
    smallest_crop: least area of the crop of the frame, see MildViews. Default 0.8: of less, what sounds is often cut
        away. Paper: 224 of 256 px, 0.77.
    flip: of the frame, see MildViews.
    strength, hue: of the frame's colours, see Augmentation. Default 0.2 and 0: colour may be what goes with a sound.
        Paper: brightness and saturation.
    shift, gain: of the sound, see MildViews. Paper: a gain of up to 10 %.
    """

    family = "contrastive"
    reference = "Arandjelovic & Zisserman 2017, arXiv:1705.08168"
    parts = ("frames", "sound", "source")
    encoder: TwoTower

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,  # noqa: ARG002
        *,
        objective: str = "logistic",
        fusion: str = "soft_map",
        negatives: str = "all",
        hidden: int = 128,
        smallest_crop: float = 0.8,
        flip: float = image.MildViews.flip,
        strength: float = 0.2,
        hue: float = 0.0,
        shift: float = sound.MildViews.shift,
        gain: float = sound.MildViews.gain,
    ) -> None:
        super().__init__(encoder)
        if not isinstance(encoder, TwoTower):
            raise ValueError(f"audio_visual trains the encoder 'two_tower', and this one is '{encoder.name}'")
        require_choice("objective", objective, OBJECTIVES)
        require_choice("fusion", fusion, tuple(FUSIONS))
        require_choice("negatives", negatives, NEGATIVES)
        require_positive(hidden=hidden)
        require_jitter(strength, hue)
        self.objective, self.negatives, self.strength, self.hue = objective, negatives, strength, hue
        self.seen = image.MildViews(smallest_crop, flip)
        self.heard = sound.MildViews(shift, gain)
        self.fuse = FUSIONS[fusion](encoder.settings["embedding"], hidden)

    def views(self, frames: Tensor, sounds: Tensor, source: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, T, C, H, W) uint8, (B, S) int16, (B, 1) -> frame (B, C, H, W), sound (B, S), false pairs (B, B) bool."""
        batch, count = frames.shape[:2]
        drawn = frames[torch.arange(batch, device=frames.device), below(generator, count, batch)]
        pictures = colour_jitter(self.seen(drawn, generator), generator, strength=self.strength, hue=self.hue)
        return pictures, self.heard(sounds, generator), self.false_pairs(source[:, 0], generator)

    def false_pairs(self, source: Tensor, generator: Generator) -> Tensor:
        """(B,) -> (B, B) bool: which sounds each frame is shown with besides its own."""
        require_two(len(source))
        if self.negatives == "one":
            return functional.one_hot(derangement(source, generator), len(source)).bool()
        apart = source[:, None] != source
        return torch.where(apart.any(1, keepdim=True), apart, ~own_pairs(source))

    def loss(self, *views: Tensor, index: Tensor) -> Scored:  # noqa: ARG002
        """The objective, and how often the more likely answer is right (only logged)."""
        pictures, sounds, false = views
        layers = self.encoder.layers(pictures, sounds)
        logits = self.fuse(self.encoder.embed_frames(layers[LAST]), self.encoder.embed_sound(layers[SOUND]))  # (B, B)
        objective = belongs if self.objective == "logistic" else which_belongs
        return objective(logits, false)


def belongs(logits: Tensor, false: Tensor) -> Scored:
    """The logistic loss of logits (B, B), a row a frame, of true pairs on the diagonal and false ones (B, B) bool.

    Half of the weight is that of the true pairs, and half of the false ones, where all frames weigh the same, and of a
    frame all of its pairs.
    """
    own = logits.diagonal()
    weights = false / (2 * len(false) * false.sum(1, keepdim=True))
    loss = functional.softplus(-own).mean() / 2 + (functional.softplus(logits) * weights).sum()
    accuracy = (own > 0).float().mean() / 2 + ((logits <= 0) * weights).sum()
    return Scored({"loss": loss, "accuracy": accuracy}, chance=math.log(2))


def which_belongs(logits: Tensor, false: Tensor) -> Scored:
    """InfoNCE by rows and by columns, each half, of the candidates that are true or false pairs; see `belongs`."""
    right = torch.arange(len(logits), device=logits.device)
    counted = false | own_pairs(logits)
    terms, hits, levels = [], [], []
    for of, candidates in ((logits, counted), (logits.T, counted.T)):
        left = of.masked_fill(~candidates, -math.inf)
        terms.append(functional.cross_entropy(left, right))
        hits.append((left.detach().argmax(1) == right).float().mean())
        levels.append(candidates.sum(1).log().mean())
    loss, accuracy, chance = (torch.stack(found).mean() for found in (terms, hits, levels))
    return Scored({"loss": loss, "accuracy": accuracy}, chance=float(chance))


def scalar(value: float) -> nn.Parameter:
    """A parameter without dimensions."""
    return nn.Parameter(torch.tensor(value))


def own_pairs(batch: Tensor) -> Tensor:
    """(B, ...) -> (B, B) bool: each with itself."""
    return torch.eye(len(batch), dtype=torch.bool, device=batch.device)


def require_two(count: int) -> None:
    """Refuses batches without false pairs."""
    if count < 2:
        raise ValueError("a batch of 1 clip has no sound of another; batch_size must be at least 2")


def derangement(source: Tensor, generator: Generator) -> Tensor:
    """(B,) -> (B,) int64: a random order of the numbers 0 to B - 1 in which none is in its own place.

    As many as possible are of another source than the sample in whose place they are: all, unless more than half of the
    samples are of one source.

    The samples are put in a random order with those of a source next to each other, and each is given the sample that
    lies a random number of places before it, round the end: no fewer than there are of any one source. Raises
    ValueError for a single sample.
    """
    count = len(source)
    require_two(count)
    _, groups, sizes = source.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    shuffled = torch.randperm(count, generator=generator, device=source.device)
    rank = torch.randperm(len(sizes), generator=generator, device=source.device)[groups]
    order = shuffled[rank[shuffled].argsort(stable=True)]
    least = int(sizes.max()) % count  # 0 where all are of one source: any other will do
    least, most = (least, max(least, count - least)) if least else (1, count - 1)
    step = int(torch.randint(least, most + 1, (1,), generator=generator, device=source.device))
    found = torch.empty_like(order)
    found[order] = order.roll(step)
    return found


METHOD = AudioVisual
