"""Times of a run by a clock that the test moves."""

import pytest
import torch

from pretrain.cost.meter import Meter, Work, peak_memory

CPU = torch.device("cpu")
WORK = Work(ecgs=256, tokens=1000.0, flops=4e9, peak=1e10)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def do_step(meter: Meter, clock: Clock, *, wait_s: float, compute_s: float) -> None:
    with meter.waiting():
        clock.pass_by(wait_s)
    clock.pass_by(compute_s)
    meter.stepped()


def test_rates_and_shares_are_those_of_the_interval() -> None:
    clock = Clock()
    meter = Meter(WORK, device=CPU, clock=clock)
    for _ in range(4):
        do_step(meter, clock, wait_s=0.1, compute_s=0.4)
    found = meter.report()
    assert found.pop("memory/peak_gib") > 0.01
    assert found == pytest.approx(
        {
            "time/step_s": 0.5,
            "time/ecg_per_s": 512,
            "time/tokens_per_s": 2000,
            "time/data_wait_share": 0.2,
            "time/flop_utilisation": 0.8,
        }
    )


def test_a_report_begins_a_new_interval() -> None:
    clock = Clock()
    meter = Meter(WORK, device=CPU, clock=clock)
    do_step(meter, clock, wait_s=5.0, compute_s=5.0)
    meter.report()
    do_step(meter, clock, wait_s=0.0, compute_s=2.0)
    found = meter.report()
    assert (found["time/step_s"], found["time/data_wait_share"]) == (2.0, 0.0)


def test_validation_and_checkpoints_are_no_part_of_a_step() -> None:
    clock = Clock()
    meter = Meter(WORK, device=CPU, clock=clock)
    do_step(meter, clock, wait_s=0.25, compute_s=0.75)
    with meter.excluded():
        clock.pass_by(60)
    do_step(meter, clock, wait_s=0.25, compute_s=0.75)
    found = meter.report()
    assert (found["time/step_s"], found["time/data_wait_share"]) == (1.0, 0.25)


def test_time_is_counted_where_a_context_ends_in_an_error() -> None:
    clock = Clock()
    meter = Meter(WORK, device=CPU, clock=clock)
    for context in (meter.waiting, meter.excluded):
        with pytest.raises(StopIteration), context():
            clock.pass_by(1)
            raise StopIteration
    clock.pass_by(1)
    meter.stepped()
    found = meter.report()
    assert (found["time/step_s"], found["time/data_wait_share"]) == (2.0, 0.5)


def test_an_interval_without_a_step_says_nothing() -> None:
    clock = Clock()
    meter = Meter(WORK, device=CPU, clock=clock)
    clock.pass_by(7)
    assert meter.report() == {}
    do_step(meter, clock, wait_s=0.0, compute_s=3.0)
    assert meter.report()["time/step_s"] == 3.0


def test_memory_on_the_host_grows_by_what_is_taken() -> None:
    before = peak_memory(CPU)
    taken = bytearray(b"1" * 2**26)
    assert peak_memory(CPU) >= before
    assert peak_memory(CPU) >= len(taken)


def test_a_meter_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3 * 2**30)

    def refuse(*_: object) -> None:
        raise AssertionError("waited for the device")

    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    clock = Clock()
    meter = Meter(WORK, device=torch.device("cuda"), clock=clock)
    do_step(meter, clock, wait_s=0.0, compute_s=1.0)
    assert meter.report()["memory/peak_gib"] == 3.0
