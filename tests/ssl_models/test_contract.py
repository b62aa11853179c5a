"""What a method of one's own must give the trainer: where it does not, file, class and fault are named."""

import pytest
import torch

from ssl_models.encoders import build_encoder
from ssl_models.method import Method, Scored
from ssl_models.trainer import Settings, Training


class Mine(Method):
    """A method with views and terms as a test wants them."""

    family = "predictive"

    def __init__(self, views=None, terms=None):
        super().__init__(build_encoder("resnet", depth=10, width=4))
        self.gives = views or (lambda images: (images.float() / 255,))
        self.terms = terms or (lambda hidden: {"loss": hidden.square().mean()})

    def views(self, images, generator):  # noqa: ARG002
        return self.gives(images)

    def loss(self, *views, index):  # noqa: ARG002
        return self.terms(self.encoder(views[0]))


def run(**changes):
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    Training(Mine(**changes), images, Settings(epochs=1, batch_size=4, warmup_epochs=0), seed=0).run()


VIEWS = {
    "NoneType": lambda _: None,
    "Tensor": lambda images: images.float(),
    "list": lambda images: [images.float()],
    "tuple": lambda images: (images.float(), None),
}
TERMS = {
    "gives a Tensor; it must give a dict of named terms, or a Scored": lambda hidden: hidden.mean(),
    r"the term 'loss' has the shape \(4, 32\)": lambda hidden: {"loss": hidden},
    "the term 'accuracy' has the type float": lambda hidden: {"loss": hidden.mean(), "accuracy": 0.5},
    "no term has a gradient": lambda hidden: Scored({"accuracy": hidden.mean().detach()}),
}


def test_a_method_that_keeps_to_it_is_trained():
    run()
    run(terms=lambda hidden: Scored({"loss": hidden.mean(), "accuracy": hidden.mean().detach()}))


@pytest.mark.parametrize("kind", VIEWS)
def test_views_are_a_tuple_of_tensors(kind):
    with pytest.raises(ValueError, match=rf"test_contract\.py: Mine\.views gives a {kind}; it must give a tuple"):
        run(views=VIEWS[kind])


@pytest.mark.parametrize("words", TERMS)
def test_terms_are_single_numbers_one_with_a_gradient(words):
    with pytest.raises(ValueError, match=rf"test_contract\.py: Mine\.loss:? {words}"):
        run(terms=TERMS[words])
