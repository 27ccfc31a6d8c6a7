"""How the checks of a vertical are named, run and reported. What each looks at is in the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from metier.contracts.errors import PluginError
from metier.contracts.vertical import Vertical
from metier.testing import adapter_checks, contract_checks, finetune_checks, fuzz_checks, rule_checks, sample_checks


class ConformanceError(PluginError):
    """A vertical does not conform. Each line names the check, what is wrong, and what to change."""


Complaints = Callable[[Vertical], Iterator[str]]

_CHECKS: dict[Complaints, tuple[Complaints, ...]] = {
    contract_checks.sdk_version_fits: (),
    contract_checks.contracts_serialise: (),
    contract_checks.recipes_hold: (),
    contract_checks.prompts_render: (contract_checks.contracts_serialise,),
    contract_checks.prompts_use_required_fields: (
        contract_checks.contracts_serialise,
        contract_checks.prompts_render,
    ),
    sample_checks.samples_satisfy_contracts: (contract_checks.contracts_serialise,),
    sample_checks.held_out_is_apart: (contract_checks.contracts_serialise,),
    sample_checks.replies_round_trip: (contract_checks.contracts_serialise,),
    adapter_checks.adapters_read_their_example: (contract_checks.contracts_serialise,),
    adapter_checks.adapters_are_lazy: (adapter_checks.adapters_read_their_example,),
    adapter_checks.adapters_keep_the_row: (adapter_checks.adapters_read_their_example,),
    adapter_checks.adapters_survive_garbage: (adapter_checks.adapters_read_their_example,),
    fuzz_checks.adapters_survive_damaged_files: (
        adapter_checks.adapters_keep_the_row,
        adapter_checks.adapters_survive_garbage,
    ),
    fuzz_checks.adapters_survive_another_suffix: (
        adapter_checks.adapters_keep_the_row,
        adapter_checks.adapters_survive_garbage,
    ),
    fuzz_checks.adapters_refuse_missing_files: (
        adapter_checks.adapters_read_their_example,
        adapter_checks.adapters_are_lazy,
    ),
    fuzz_checks.adapters_claim_their_example: (adapter_checks.adapters_read_their_example,),
    finetune_checks.fine_tunes_match: (),
    rule_checks.checks_match_their_examples: (contract_checks.contracts_serialise,),
    fuzz_checks.checks_answer_any_text: (rule_checks.checks_match_their_examples,),
}
"""Check → those that must pass first, since it could only repeat their complaint."""


def _required(check: Complaints) -> Iterator[Complaints]:
    """The checks that must pass first, and those that must pass before them."""
    for needed in _CHECKS[check]:
        yield from _required(needed)
        yield needed


@dataclass(frozen=True)
class BoundCheck:
    """One named check of one vertical. Call it: it returns where all is well, else raises `ConformanceError`."""

    name: str
    about: str
    """What it checks, one line."""
    vertical: Vertical = field(repr=False)
    _run: Complaints = field(repr=False)
    _needs: tuple[Complaints, ...] = field(repr=False)
    _found: dict[Complaints, list[str]] = field(repr=False)

    def complaints(self) -> list[str]:
        """What to change, one entry per fault; empty when the vertical passes."""
        return self._of(self._run)

    def blocked_by(self) -> str | None:
        """Name of a failing check that must pass before this one means anything."""
        return next((check.__name__ for check in self._needs if self._of(check)), None)

    def __call__(self) -> None:
        """Raise where the vertical fails this check.

        Raises:
            ConformanceError: with every complaint.
        """
        __tracebackhide__ = True
        if found := self.complaints():
            raise ConformanceError(
                f"fails {self.name} ({self.about}):\n" + "\n".join(f"  - {line}" for line in found),
                where=f"vertical {self.vertical.name}",
            )

    def _of(self, check: Complaints) -> list[str]:
        if check not in self._found:
            try:
                self._found[check] = list(check(self.vertical))
            except Exception as error:
                self._found[check] = [f"{type(error).__name__} while checking: {error}"]
        return self._found[check]


def vertical_checks(vertical: Vertical) -> list[BoundCheck]:
    """Every named check, bound to a vertical, to be run one by one."""
    found: dict[Complaints, list[str]] = {}
    return [
        BoundCheck(
            check.__name__,
            (check.__doc__ or "").strip().splitlines()[0],
            vertical,
            check,
            tuple(_required(check)),
            found,
        )
        for check in _CHECKS
    ]


def check_vertical(vertical: Vertical) -> None:
    """Run every check.

    Raises:
        ConformanceError: listing each failing check and what to change. A check that needs a failing one is left out.
    """
    lines: list[str] = []
    for check in vertical_checks(vertical):
        if not check.blocked_by():
            lines += [f"  {check.name}: {complaint}" for complaint in check.complaints()]
    if lines:
        raise ConformanceError(
            f"does not conform, {len(lines)} things to change:\n" + "\n".join(lines),
            where=f"vertical {vertical.name}",
        )


def conformance_test(vertical: Vertical) -> Callable[..., None]:
    """A pytest test with one case per named check: `test_conformance = conformance_test(vertical)`."""
    import pytest

    @pytest.mark.parametrize("check", vertical_checks(vertical), ids=lambda check: check.name)
    def test_conformance(check: BoundCheck) -> None:
        __tracebackhide__ = True
        if blocker := check.blocked_by():
            pytest.skip(f"means nothing before {blocker} passes")
        check()

    return test_conformance
