"""What a waiting person sees, and what a script does not."""

import pytest

from metier.contracts import UsageError
from metier.terminal import progress as module
from metier.terminal.options import pairs


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hand = Clock()
    monkeypatch.setattr(module, "time", hand)
    return hand


def test_a_short_job_prints_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with module.progress() as tick:
        for step in range(10):
            clock.now += 0.1
            tick("adapting", step, 10)
    assert capsys.readouterr() == ("", "")


def test_off_the_terminal_a_long_job_prints_a_line_per_stage_and_at_intervals(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with module.progress() as tick:
        tick("loading the base")
        for step in range(1, 41):
            clock.now += 1
            tick("adapting", step, 40, loss=2.0 / step)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["adapting 15/40  loss 0.1333", "adapting 30/40  loss 0.06667"]


def test_pairs_are_header_to_field_and_a_half_one_is_refused() -> None:
    assert pairs("mr=facts, ref=text", "--columns") == {"mr": "facts", "ref": "text"}
    assert pairs(None, "--columns") == {}
    with pytest.raises(UsageError, match="--columns: 'ref' is not"):
        pairs("mr=facts,ref", "--columns")
