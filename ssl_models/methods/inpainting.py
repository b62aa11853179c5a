"""Context encoders: what was in the hole? A decoder predicts it from the rest (Pathak et al. 2016, arXiv:1604.07379).

The squared error alone leads to the mean of everything that could have been there, which is blurred. A discriminator
between predicted and real pictures penalises that. For learning features the paper leaves it out: with AlexNet the
adversarial training did not converge (section 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.decoder import Decoder, painting, painting_target, unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import group_norm
from ssl_models.encoders.shapes import map_shapes
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.shown import in_rows
from ssl_models.views.corruption import block_mask, centre_mask, mean_colour, require_hole

REGIONS = ("centre", "blocks")
OVERLAP_WEIGHT = 10
SMALLEST_JUDGED = 8


class Discriminator(nn.Module):
    """(B, channels, H, W) -> (B,) logits, positive for a real picture and negative for a predicted one.

    Convolutions of stride 2 down to 4 px, as in DCGAN (Radford et al. 2016, arXiv:1511.06434), which the paper follows.
    It has group normalisation instead of batch normalisation: batch statistics differ between real and predicted
    batches, and would change while the decoder is scored.
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
    """The squared error in the hole (eq. 1), divided by that of the best constant. Chance is 1; adversarial see below.

    The hole is filled with the mean colour of the rest of its picture. The paper fills it with the mean colour. The
    decoder predicts the difference from that colour, divided by the picture's deviation. Without this the background's
    colour decides the error: in a short training the encoder learned no shape (k-NN as before training). The paper
    trains with Adam and a learning rate ten times that of the discriminator. Its blocks gave better features than its
    centre (section 3.3).

    The adversarial part is two more terms of the same optimiser, so both sides have the same learning rate.
    "discriminator" has gradients for the discriminator only. "fooling" has gradients for the encoder and the decoder
    only: the discriminator's weights are constant in it. The discriminator is shown the hidden values on a blank
    background, so that no seam between the hole and its context tells it the answer. Where nobody can tell real from
    predicted, the loss is `1 - adversarial + (1 + adversarial) log 2`, which is then the chance.

    region: of the hole. Default "blocks", drawn for each sample. "centre": one rectangle in the middle. Paper both.
    hidden: share of the picture's area that is hidden; for blocks the most that can be. Default 0.25. Paper 0.25
        (section 3.3).
    blocks: number of blocks. Default 8. Paper "a number" (section 3.3).
    overlap: width in pixels of the margin around the hole that is predicted too, with weight 10. Default 0. Paper 7 of
        227 px for the centre.
    context: weight of all other visible values. Default 0.1: in so short a time holes alone teach little (k-NN 4 to 16
        points over untrained with 0, 12 to 21 with 0.1, three seeds each). Paper 0 (eq. 1); the authors' code for
        random regions 1, or 10.
    adversarial: weight of the adversarial part, 0 for none. Default 0. Paper 0.001, and 0 for features.
    normalise: whether differences over the deviation are predicted, as above, or the values as they are. Default True.
        Paper: the values.
    decoder_width: channels of the decoder's first layer. Default 64. Own.
    discriminator_width: channels of the discriminator's first layer. Default 16. Own.
    smallest_crop, flip: see MildViews.
    """

    family = "predictive"
    reference = "Pathak et al. 2016, arXiv:1604.07379"
    crops = by_rows = True

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
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
    ) -> None:
        super().__init__(encoder)
        channels, height, width = require_picture(data.shape, "inpainting")
        require_choice("region", region, REGIONS)
        require_hole(height, width, share=hidden, blocks=blocks if region == "blocks" else 1, name="hidden")
        require_positive(decoder_width=decoder_width, discriminator_width=discriminator_width)
        require_fraction(context=context, adversarial=adversarial)
        if not 0 <= overlap < min(height, width):
            raise ValueError(f"overlap is {overlap}; it must be at least 0 and less than the picture's side")
        self.region, self.hidden, self.blocks = region, hidden, blocks
        self.overlap, self.context, self.normalise = overlap, context, normalise
        self.adversarial, self.mild_views = adversarial, MildViews(smallest_crop, flip, data.shape[1:])
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
        pictures = self.mild_views(images, generator)
        batch, _, height, width = pictures.shape
        if self.region == "centre":
            hole = centre_mask(batch, height, width, share=self.hidden, device=images.device)
        else:
            hole = block_mask(generator, batch, height, width, blocks=self.blocks, share=self.hidden)
        return torch.where(hole, mean_colour(pictures, hole), pictures), pictures, hole.long()

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The error in the hole; adversarial: also both sides' losses, and the discriminator's accuracy (logged)."""
        filled, pictures, hole = views
        maps = self.encoder.layers(filled)
        painted = self.decoder(maps[next(reversed(maps))]).float()  # (B, C, H, W)
        target = painting_target(pictures, mean_colour(pictures, hole), self.normalise)
        reconstruction = unexplained(painted, target, self.weight(hole))
        if not self.adversarial:
            return {"reconstruction": reconstruction}
        return {"reconstruction": (1 - self.adversarial) * reconstruction, **self.game(hole * target, hole * painted)}

    def pictures(self, samples: Sequence[Tensor]) -> dict[str, Any]:
        """Test pictures with a hole, completed, and whole."""
        filled, pictures, hole = self.views(samples[0], Generator(samples[0].device).manual_seed(0))
        maps = self.encoder.layers(filled)
        predicted = self.decoder(maps[next(reversed(maps))]).float()
        painted = painting(predicted, pictures, mean_colour(pictures, hole), self.normalise)
        completed = torch.where(hole.bool(), painted, pictures)
        return {"completed": in_rows({"with a hole": filled, "completed": completed, "whole": pictures})}

    def weight(self, hole: Tensor) -> Tensor:
        """(B, 1, H, W) -> the same shape: 1 in the hole, 10 up to `overlap` px around it, `context` elsewhere."""
        hidden = hole.float()
        grown = functional.max_pool2d(hidden, 2 * self.overlap + 1, 1, self.overlap)
        return hidden + OVERLAP_WEIGHT * (grown - hidden) + self.context * (1 - grown)

    def game(self, real: Tensor, painted: Tensor) -> dict[str, Tensor]:
        """Both sides of eq. 2. The decoder's is the non-saturating one (Goodfellow et al. 2014, arXiv:1406.2661,
        section 3).
        """
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
