"""CPC on speech: the loss against a loop written from the paper, and negatives only from where they may come."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.speech import Speech
from ssl_models.errors import NeedsSamples
from ssl_models.methods.cpc_speech import NEGATIVES, NONE, CPCSpeech
from ssl_models.modalities.inputs import inputs
from ssl_models.trainer import Settings, Training
from tests.ssl_models.test_trainer import Keeper
from tests.ssl_models.voices import voices

FRAMES = 20


def method(frames=FRAMES, **settings):
    torch.manual_seed(0)
    data = DataSpec(64, {"sound": (80 * frames,), "length": (1,)})
    cpc = CPCSpeech(Speech(width=8, hidden=12), data, **({"steps": 6, "candidates": 10} | settings))
    for predict in cpc.predict:
        torch.nn.init.normal_(predict.weight, std=0.5)  # as learnt: at first all products are near zero
    return cpc


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lengths(*frames, extra=0):
    return torch.tensor(frames, dtype=torch.int32)[:, None] * 80 + extra


def batch(*frames):
    """Toy recordings of so many frames each, in windows of FRAMES."""
    sound, length = voices(len(frames), FRAMES)[0], lengths(*frames)
    return sound.masked_fill(torch.arange(sound.shape[1]) >= length, 0), length


def naive(cpc, heard, frames, candidates):
    """Equation 4, one t and k after another: the mean loss, and the mean of log(1 + negatives)."""
    maps, costs, levels = cpc.encoder.frames(heard), [], []
    z, c = maps["conv4"], maps["context"]
    for b, count in enumerate(frames.tolist()):
        for k, predict in enumerate(cpc.predict, start=cpc.first):
            for t in range(count - k):
                predicted = predict.weight @ c[b, :, t]
                places = [place for place in candidates[b].tolist() if place not in (NONE, b * cpc.frames + t + k)]
                negatives = [(z[place // cpc.frames, :, place % cpc.frames] @ predicted).exp() for place in places]
                positive = (z[b, :, t + k] @ predicted).exp()
                costs.append(-(positive / (positive + sum(negatives))).log())
                levels.append(math.log(1 + len(places)))
    return torch.stack(costs).mean(), sum(levels) / len(levels)


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("overlapping", [False, True])
def test_the_loss_is_info_nce_over_all_times_and_steps(negatives, overlapping):
    cpc = method(negatives=negatives, overlapping=overlapping)
    views = cpc.views(*batch(20, 9, 14, 3), seeded())
    scored = cpc.loss(*views, index=torch.arange(4))
    loss, level = naive(cpc, *views)
    torch.testing.assert_close(scored.terms["loss"], loss)
    assert scored.chance == pytest.approx(level)
    assert [step for step, _ in enumerate(cpc.predict, start=cpc.first)] == list(range(1 if overlapping else 3, 7))


def test_accuracies_count_how_often_what_comes_has_the_largest_product():
    cpc = method(steps=4)
    heard, frames, candidates = cpc.views(*batch(20, 9), seeded())
    maps, hits = cpc.encoder.frames(heard), {3: [], 4: []}
    for b, count in enumerate(frames.tolist()):
        for k, predict in zip((3, 4), cpc.predict, strict=True):
            for t in range(count - k):
                products = maps["conv4"].transpose(1, 2).flatten(0, 1) @ (predict.weight @ maps["context"][b, :, t])
                own = b * FRAMES + t + k
                hits[k].append(all(products[own] > products[place] for place in candidates[b].tolist() if place != own))
    terms = cpc.loss(heard, frames, candidates, index=torch.arange(2)).terms
    expected = {"accuracy": hits[3] + hits[4], "accuracy_first": hits[3], "accuracy_last": hits[4]}
    for name, found in expected.items():
        assert float(terms[name]) == pytest.approx(sum(found) / len(found))
        assert not terms[name].requires_grad


def drawn(frames, negatives, count=400):
    """(recording, time) of each candidate, (B, N) each."""
    cpc = method(negatives=negatives, candidates=count)
    places = cpc.draw(torch.tensor(frames), seeded())
    assert places.shape == (len(frames), count)
    return places.div(FRAMES, rounding_mode="floor"), places % FRAMES, places


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_candidates_are_all_frames_inside_the_length_of_the_right_recordings(negatives):
    frames = [20, 0, 7, 1, 12]
    recordings, times, places = drawn(frames, negatives, count=2000)
    inside = {(b, t) for b, count in enumerate(frames) for t in range(count)}
    for b in range(len(frames)):
        allowed = {
            "mixed": inside,
            "same_recording": {(b, t) for t in range(frames[b])},
            "other_recordings": {place for place in inside if place[0] != b},
        }[negatives]
        if allowed:
            assert set(zip(recordings[b].tolist(), times[b].tolist(), strict=True)) == allowed
        else:
            assert (places[b] == NONE).all()


def test_candidates_are_drawn_evenly():
    recordings, times, _ = drawn([20, 0, 7, 1, 12], "mixed", count=40_000)
    counts = torch.bincount((recordings * FRAMES + times).flatten())
    assert float(counts[counts > 0].min()) > 0.9 * 200_000 / 40
    assert float(counts.max()) < 1.1 * 200_000 / 40


def test_a_recording_alone_has_no_others_to_draw_from():
    assert (drawn([9], "other_recordings")[2] == NONE).all()


def test_recordings_are_given_different_candidates_and_steps_of_a_training_too():
    cpc = method()
    first, other = (cpc.views(*batch(20, 20), seeded(seed))[2] for seed in (0, 1))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, other)


def test_what_is_to_be_predicted_is_no_negative_of_itself():
    """With every frame of a recording drawn many times, each prediction has all but one of them as negatives."""
    cpc = method(negatives="same_recording", candidates=400)
    for predict in cpc.predict:
        torch.nn.init.zeros_(predict.weight)
    views = cpc.views(*batch(20), seeded())
    scored = cpc.loss(*views, index=torch.arange(1))
    counts = torch.bincount(views[2][0])
    levels = [math.log(1 + 400 - int(counts[u])) for k in range(3, 7) for u in range(k, 20)]
    assert float(scored.terms["loss"].detach()) == pytest.approx(sum(levels) / len(levels), rel=1e-5)
    assert scored.chance == pytest.approx(sum(levels) / len(levels), rel=1e-5)


def test_it_begins_at_chance():
    """Random predictions would first have to be unlearnt."""
    data = DataSpec(64, {"sound": (1600,), "length": (1,)})
    cpc = CPCSpeech(Speech(width=8, hidden=12), data)
    scored = cpc.loss(*cpc.views(*batch(20, 9, 14, 3), seeded()), index=torch.arange(4))
    assert float(scored.terms["loss"].detach()) == pytest.approx(scored.chance, abs=0.01)


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_equal_products_cost_chance(negatives):
    cpc = method(negatives=negatives)
    for predict in cpc.predict:
        torch.nn.init.zeros_(predict.weight)
    scored = cpc.loss(*cpc.views(*batch(20, 9, 14, 3), seeded()), index=torch.arange(4))
    assert float(scored.terms["loss"].detach()) == pytest.approx(scored.chance, rel=1e-5)
    assert float(scored.terms["accuracy"]) == 0
    if negatives == "other_recordings":
        assert scored.chance == pytest.approx(math.log(11))


def test_what_lies_behind_the_length_changes_nothing():
    """Neither longer padding nor, beyond what the last frame sees, any sound there."""
    cpc, wide = method(), method(frames=2 * FRAMES)
    sound, length = batch(16, 9, 11)
    noisy, longer = sound.clone(), torch.cat([sound, torch.zeros_like(sound)], 1)
    for row, samples in enumerate(length[:, 0].tolist()):
        noisy[row, samples + 73 :] = 9999
    expected = cpc.loss(*cpc.views(sound, length, seeded()), index=torch.arange(3))
    for other, given in ((cpc, noisy), (wide, longer)):
        found = other.loss(*other.views(given, length, seeded()), index=torch.arange(3))
        torch.testing.assert_close(found.terms, expected.terms)
        assert found.chance == expected.chance


def test_only_whole_frames_count():
    cpc = method()
    sound, _ = batch(20, 20, 20)
    assert cpc.views(sound, lengths(9, 10, 20, extra=79).clamp(max=1600), seeded())[1].tolist() == [9, 10, 20]
    assert cpc.views(sound, lengths(0, 30, 1), seeded())[1].tolist() == [0, 20, 1]


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("frames", [(3, 1, 0), (0, 0, 0), (4, 0, 0), (20, 0, 0)])
def test_recordings_that_are_too_short_leave_the_loss_finite_with_a_gradient(negatives, frames):
    cpc = method(negatives=negatives)
    scored = cpc.loss(*cpc.views(*batch(*frames), seeded()), index=torch.arange(3))
    scored.terms["loss"].backward()
    assert scored.terms["loss"].isfinite()
    assert math.isfinite(scored.chance)
    assert all(each.grad is not None and each.grad.isfinite().all() for each in cpc.parameters())


def test_what_is_predicted_shares_no_sample_with_what_was_heard():
    """The loss of step 3 at t = 5 depends on z_8, whose samples begin after those that c_5 has seen."""
    cpc = method(steps=3)
    heard = inputs(batch(20)[0]).requires_grad_()
    maps = cpc.encoder.frames(heard)
    seen, predicted = (
        torch.autograd.grad(maps[layer][0, :, t].sum(), heard, retain_graph=True)[0][0].nonzero()
        for layer, t in (("context", 5), ("conv4", 5 + cpc.first))
    )
    assert int(seen.max()) < int(predicted.min())
    assert method(steps=3, overlapping=True).first == 1


def test_the_sound_changes_in_loudness_alone():
    sound, length = batch(20, 20, 20)
    heard = method().views(sound, length, seeded())[0]
    ratios = (heard.norm(dim=1) / inputs(sound).norm(dim=1)).tolist()
    assert len({round(ratio, 3) for ratio in ratios}) == 3
    assert all(2**-0.5 <= ratio <= 2**0.5 for ratio in ratios)
    torch.testing.assert_close(heard, inputs(sound) * torch.tensor(ratios)[:, None])
    assert torch.equal(method(gain=0.0).views(sound, length, seeded())[0], inputs(sound))


def training(observer=None):
    cpc = method(steps=5)
    sound, length, _ = voices(48, FRAMES)
    chosen = Settings(epochs=2, batch_size=16, optimizer="adamw", learning_rate=0.01)
    return Training(cpc, (sound, length), chosen, seed=5, checkpoint_steps=1, observer=observer)


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_stopped_and_resumed_ends_in_the_same_bytes(stop):
    whole, first = Keeper(), Keeper()
    reference = training(whole)
    reference.run()
    training(first).run(stop_after=stop)
    second = Keeper(first.content)
    resumed = training(second)
    resumed.run()
    assert all(
        torch.equal(value, resumed.method.state_dict()[key]) for key, value in reference.method.state_dict().items()
    )
    assert first.epochs + second.epochs == whole.epochs


def vowels_told(encoder):
    """Share of the frames of new recordings whose vowel a linear classifier reads from the context."""
    found = []
    for seed, recordings in ((1, 60), (2, 60)):
        sound, _, vowels = voices(recordings, seed=seed)
        with torch.no_grad():
            steps = encoder.eval().frames(inputs(sound))["context"].transpose(1, 2)
        found.append((steps[vowels >= 0].numpy(), vowels[vowels >= 0].numpy()))
    (train, labels), (test, expected) = found
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    classifier = LogisticRegression(max_iter=300).fit((train - mean) / deviation, labels)
    return classifier.score((test - mean) / deviation, expected)


def test_in_seconds_it_hears_vowels_better_than_an_untrained_encoder():
    torch.manual_seed(0)
    encoder = Speech(width=32, hidden=64)
    before, keeper = vowels_told(encoder), Keeper()
    sound, length, _ = voices(320)
    cpc = CPCSpeech(encoder, DataSpec(320, {"sound": (3200,), "length": (1,)}), candidates=32)
    chosen = Settings(epochs=3, batch_size=16, optimizer="adamw", learning_rate=0.08)
    Training(cpc, (sound, length), chosen, seed=0, observer=keeper).run()
    last = keeper.epochs[-1][1]
    assert last["loss"] < 0.9 * last["chance"], last
    assert vowels_told(cpc.encoder) > before + 0.1, before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 2}, r"steps is 2; windows of 20 frames allow 3 to 19, or 1 to 19 with overlapping: true"),
        ({"steps": 20}, r"steps is 20; windows of 20 frames allow 3 to 19"),
        ({"steps": 0, "overlapping": True}, r"steps is 0; windows of 20 frames allow 1 to 19$"),
        ({"negatives": "speaker"}, "negatives is 'speaker'; choose one of mixed, same_recording, other_recordings"),
        ({"candidates": 0}, "candidates is 0"),
        ({"gain": 1.5}, "gain is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_windows_that_are_too_short_are_refused():
    with pytest.raises(
        NeedsSamples, match="3 frames of 80 samples ahead at least, and these windows have 3; windows of 320"
    ):
        method(frames=3)
    assert len(method(frames=4, steps=3).predict) == 1


def test_an_encoder_without_frames_is_refused():
    resnet = build_encoder("resnet", depth=10, width=4)
    with pytest.raises(
        ValueError, match="cpc_speech predicts frames of the encoder 'speech', and this one is 'resnet'"
    ):
        CPCSpeech(resnet, DataSpec(64, {"sound": (1600,), "length": (1,)}))
