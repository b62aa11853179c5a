"""Context encoders: what was in the hole? A decoder paints it from the rest (Pathak et al. 2016, arXiv:1604.07379).

The error alone gives the mean of all that could have been there, a blur; a discriminator that must tell paintings from
pictures punishes that. For features the paper does without it: with AlexNet the game did not converge (section 5.2).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.decoder import Decoder, map_shapes, painting_target, unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import group_norm
from ssl_models.method import DataSpec, Method
from ssl_models.views.corruption import block_mask, centre_mask, mean_colour, require_hole
from ssl_models.views.geometric import as_float, random_crop_flip

REGIONS = ("centre", "blocks")
OVERLAP_WEIGHT = 10
SMALLEST_JUDGED = 8


class Discriminator(nn.Module):
    """(B, channels, H, W) -> (B,) logits, positive for a picture and negative for a painting.

    Convolutions of stride 2 down to 4 px as in DCGAN (Radford et al. 2016, arXiv:1511.06434), whose architecture the
    paper takes, but with group normalisation: batch statistics would tell real batches from painted ones, and would
    move when the decoder is scored.
    """

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        steps: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        while (side := side // 2) > 4:
            steps += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), group_norm(2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        self.steps = nn.Sequential(*steps)
        self.last = nn.Linear(width, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.last(self.steps(pictures).mean((2, 3)))[:, 0]
        return logits.float()


class Inpainting(Method):
    """`||M (x - F((1 - M) x))||^2` (eq. 1) over what painting the mean costs. Chance is 1, with a game see below.

    The paper: the hole filled with the mean colour, a quarter of the picture, 7 px of 227 overlap weighted tenfold for
    the centre, weights 0.999 and 0.001 of error and game, Adam with a rate ten times the discriminator's. Its blocks
    gave better features than its centre (section 3.3).
    Here the hole is filled with the mean colour of the rest of its picture, and what is painted is the difference from
    it over the picture's deviation: untreated, the colour of the background decides the error, and in a short training
    the encoder learned no shape (k-NN as before training). What is visible weighs a tenth, as holes alone are little to
    learn from in so short a time (k-NN 4 to 16 points over untrained with 0, 12 to 21 with 0.1, three seeds each).
    The game is two loss terms of one optimiser. `discriminator` has the discriminator's gradient alone and `fooling`
    the encoder's and decoder's, through a discriminator whose weights stand still; its rate is theirs. It judges the
    hidden values with blanks around them, so that no seam between hole and context gives a painting away. If nobody
    can tell, `1 - adversarial + (1 + adversarial) log 2` is chance.

    region: "centre", or "blocks" drawn for each sample. hidden: share of the picture's area, for blocks the most.
    blocks: their number. overlap: pixels around the hole that are painted too, each weighing ten (paper 7 of 227, for
    the centre). context: weight of all other visible values (eq. 1: 0; the authors' code for random regions: 1, or 10).
    adversarial: weight of the game, 0 for none (paper 0.001). normalise: paint the difference over the deviation, as
    above, or the values as they are. decoder_width, discriminator_width: channels of the first layer.
    smallest_crop: least area of the random crop, 1 for none. flip: probability of a left-right flip.
    """

    family = "predictive"
    reference = "Pathak et al. 2016, arXiv:1604.07379"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        region: str = "blocks",
        hidden: float = 0.25,
        blocks: int = 8,
        overlap: int = 0,
        context: float = 0.1,
        adversarial: float = 0.0,
        normalise: bool = True,
        decoder_width: int = 64,
        discriminator_width: int = 16,
        smallest_crop: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        super().__init__(encoder)
        channels, height, width = require_picture(data.shape, "inpainting")
        require_choice("region", region, REGIONS)
        require_hole(height, width, share=hidden, blocks=blocks if region == "blocks" else 1, name="hidden")
        require_positive(decoder_width=decoder_width, discriminator_width=discriminator_width)
        require_positive(smallest_crop=smallest_crop)
        require_fraction(context=context, adversarial=adversarial, smallest_crop=smallest_crop, flip=flip)
        if not 0 <= overlap < min(height, width):
            raise ValueError(f"overlap is {overlap}; it must be at least 0 and less than the picture's side")
        self.region, self.hidden, self.blocks = region, hidden, blocks
        self.overlap, self.context, self.normalise = overlap, context, normalise
        self.adversarial, self.smallest_crop, self.flip = adversarial, smallest_crop, flip
        dim, start, _ = list(map_shapes(encoder, data.shape).values())[-1]
        self.decoder = Decoder(dim, channels, (height, width), start=start, width=decoder_width)
        self.chance = 1.0
        if adversarial:
            if min(height, width) < SMALLEST_JUDGED:
                raise ValueError(
                    f"adversarial is {adversarial}; a discriminator needs pictures of at least {SMALLEST_JUDGED} px, "
                    f"these are {height} x {width}; choose 0"
                )
            self.discriminator = Discriminator(channels, min(height, width), discriminator_width)
            self.chance = 1 - adversarial + (1 + adversarial) * math.log(2)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> pictures with their holes filled, the whole pictures, both of that shape, and the holes
        (B, 1, H, W) int64, 1 where hidden."""
        batch, _, height, width = images.shape
        pictures = random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip)
        if self.region == "centre":
            hole = centre_mask(batch, height, width, share=self.hidden, device=images.device)
        else:
            hole = block_mask(generator, batch, height, width, blocks=self.blocks, share=self.hidden)
        return torch.where(hole, mean_colour(pictures, hole), pictures), pictures, hole.long()

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The error in the hole; with a game also both its sides, and how often the discriminator is right (logged)."""
        filled, pictures, hole = views
        maps = self.encoder.layers(filled)
        painted = self.decoder(maps[next(reversed(maps))]).float()  # (B, C, H, W)
        target = painting_target(pictures, mean_colour(pictures, hole), self.normalise)
        reconstruction = unexplained(painted, target, self.weight(hole))
        if not self.adversarial:
            return {"reconstruction": reconstruction}
        return {"reconstruction": (1 - self.adversarial) * reconstruction, **self.game(hole * target, hole * painted)}

    def weight(self, hole: Tensor) -> Tensor:
        """(B, 1, H, W) -> the same shape: 1 in the hole, 10 up to `overlap` px around it, `context` elsewhere."""
        hidden = hole.float()
        grown = functional.max_pool2d(hidden, 2 * self.overlap + 1, 1, self.overlap)
        return hidden + OVERLAP_WEIGHT * (grown - hidden) + self.context * (1 - grown)

    def game(self, real: Tensor, painted: Tensor) -> dict[str, Tensor]:
        """Both sides of eq. 2, the decoder's as "fool it" (Goodfellow et al. 2014, arXiv:1406.2661, section 3)."""
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        judged: Tensor = functional_call(self.discriminator, fixed, (painted,))
        on_real, on_painted = self.discriminator(torch.cat([real, painted.detach()])).chunk(2)  # (B,) each
        right = torch.cat([on_real > 0, on_painted < 0])
        return {
            "fooling": self.adversarial * functional.softplus(-judged).mean(),
            "discriminator": (functional.softplus(-on_real) + functional.softplus(on_painted)).mean() / 2,
            "discriminator_accuracy": right.float().mean(),
        }


METHOD = Inpainting
