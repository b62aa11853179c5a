"""DeepCluster v2: k-means names classes of pictures, the network learns them, and they are named anew each epoch.

Caron et al. 2018 (arXiv:1807.05520); version 2 is the baseline of SwAV's paper (Caron et al. 2020, arXiv:2006.09882,
appendix D). ClusterFit does once, after another pretraining and with a fresh network, what this does all the time: it
is ClusterFit's natural rival. Unlike version 1, clusters are found among projections that were kept while training, so
no pass over the samples is added to an epoch, and the centroids themselves are the classifier.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.clustering_apart import cluster_apart, require_faiss
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import centred, mlp
from ssl_models.joint_embedding import JointEmbedding
from ssl_models.losses.contrastive import similarity, unit
from ssl_models.memory import MemoryBank
from ssl_models.method import Scored
from ssl_models.views.augmentation import Augmentation


class DeepCluster(JointEmbedding):
    """The cross entropy of both views' cosines with the centroids, over a temperature, and the picture's cluster.

    Chance is log(clusters). Before the first step all pictures are seen once, so that the first clusters are those of
    the untrained network.

    The paper trains with batches of 4,096, LARS with a learning rate of 0.3 * B / 256 and a weight decay of 1e-6, for
    800 epochs, with three clusterings of 3,000 at once. Here there is one.

    clusters: of k-means. Default None: 128, or a quarter of the samples where that is less. Paper 3,000, for 1,000
        classes.
    iterations: of k-means. Default 10. Paper 10.
    temperature: divides the cosines. Default 0.1. Paper 0.1.
    hidden: width of the head's hidden layer. Default 256. Paper 2,048.
    projection: outputs of the head. Default 64. Paper 128.
    centre: whether a batch normalisation ends the head, see PIRL. Default True. Paper: no.
    hue: see Augmentation. Default 0.1. Paper 0.2.
    solarise: that of the second view, see Augmentation. Default 0. Paper: not there.
    smallest_crop, flip, strength, grey, invert, gamma: of the views, see Augmentation.
    blur: of both views. Default 0, since it is less than half a pixel wide below 64 px. Paper 0.5.
    """

    reference = "Caron et al. 2020, arXiv:2006.09882"
    meets = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        clusters: int | None = None,
        iterations: int = 10,
        temperature: float = 0.1,
        hidden: int = 256,
        projection: int = 64,
        centre: bool = True,
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        blur: float = Augmentation.blur,
        solarise: float = Augmentation.solarise,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        require_positive(iterations=iterations, temperature=temperature, hidden=hidden, projection=projection)
        clusters = max(2, min(128, data.samples // 4)) if clusters is None else clusters
        if not 2 <= clusters <= data.samples:
            raise ValueError(f"clusters is {clusters}; {data.samples} samples allow 2 to that many")
        require_faiss("deepcluster")
        views = Augmentation(smallest_crop, flip, strength, hue, grey, blur, invert=invert, gamma=gamma)
        super().__init__(encoder, data, views, solarise=solarise)
        self.clusters, self.iterations, self.temperature = clusters, iterations, temperature
        self.projector = centred(mlp(encoder.dim, hidden, projection), projection, centre)
        self.bank = MemoryBank(data.samples, projection)
        self.centroids: Tensor
        self.assignments: Tensor
        self.seen: Tensor
        self.rounds: Tensor
        self.register_buffer("centroids", self.bank.rows[:clusters].clone())
        self.register_buffer("assignments", torch.arange(data.samples) % clusters)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rounds", torch.zeros((), dtype=torch.int64))
        self.chance = math.log(clusters)

    def meet(self, *views: Tensor, index: Tensor) -> None:
        """Keeps a picture's projection, and names the first clusters when all have been seen."""
        self.bank.update(index, self.network()(views[0]), momentum=0.0)
        self.seen.add_(len(index))
        if int(self.seen) >= len(self.bank.rows):
            self.cluster()

    def network(self) -> nn.Sequential:
        """Encoder and head."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The loss, and how often the nearest centroid is that of the picture's cluster (only logged).

        Hands over the samples, and the projections (B, projection) of the first view for the next clustering.
        """
        projections = [unit(self.network()(view)) for view in views]  # (B, projection) each
        named = self.assignments[index]
        logits = [similarity(each, self.centroids) / self.temperature for each in projections]
        loss = torch.stack([functional.cross_entropy(each, named) for each in logits]).mean()
        accuracy = torch.cat([each.argmax(1) == named for each in logits]).float().mean()
        return Scored({"loss": loss, "accuracy": accuracy}, handed_over=(index, projections[0].detach()))

    def after_step(self, handed_over: tuple[Tensor, Tensor], progress: float) -> None:
        """Keeps the projections; at the end of each epoch but the last, clusters are named anew."""
        index, projections = handed_over
        self.bank.update(index, projections, momentum=0.0)
        self.seen.add_(len(index))
        if int(self.seen) + len(index) > len(self.bank.rows) and progress < 1:
            self.cluster()

    @torch.no_grad()
    def cluster(self) -> None:
        """K-means of the kept projections. Clusters that come out empty have a centroid of zeros, and no pictures."""
        found, centroids = cluster_apart(
            self.bank.rows.cpu().numpy(),
            clusters=self.clusters,
            iterations=self.iterations,
            seed=int(self.rounds),
            threads=1,
        )
        self.assignments.copy_(torch.from_numpy(found))
        self.centroids.zero_()
        self.centroids[: len(centroids)] = functional.normalize(torch.from_numpy(centroids), dim=1).to(self.centroids)
        self.rounds.add_(1)
        self.seen.zero_()


METHOD = DeepCluster
