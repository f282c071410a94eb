"""The stages of the ladder, with AutoAttack's names, and the versions made of them.

Croce and Hein (ICML 2020) for linf and l2: APGD on cross-entropy, targeted APGD on nine classes, FAB-T on nine, Square with 5,000
queries; "plus" adds APGD on DLR and the untargeted FAB, with restarts; "rand" is APGD on both losses, applied to the expectation
over random answers. L1 is as in Croce and Hein (ICML 2021): five restarts, five classes.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinyvgg.attacks.apgd import apgd, apgd_t
from tinyvgg.attacks.fab import fab
from tinyvgg.attacks.identity import takes
from tinyvgg.attacks.square import square
from tinyvgg.errors import OptionError


@dataclass(frozen=True)
class Stage:
    """One attack of a ladder: its name in the ladder, the function, its settings."""

    name: str
    attack: Callable[..., Any]
    settings: dict = field(default_factory=dict)

    @property
    def function(self) -> str:
        """The name of the attack among those of this package."""
        return self.attack.__name__


NAMED = {                                                               # AutoAttack's name -> attack, what makes it that stage
    "apgd-ce": (apgd, {"loss": "ce"}),
    "apgd-dlr": (apgd, {"loss": "dlr"}),
    "apgd-t": (apgd_t, {}),
    "fab": (fab, {"towards": "nearest"}),
    "fab-t": (fab, {}),
    "square": (square, {}),
}
VERSIONS = {
    "fast": {"apgd-ce": {"steps": 50}, "apgd-t": {"steps": 50, "targets": 3}, "square": {"queries": 1000}},
    "standard": {"apgd-ce": {"steps": 100}, "apgd-t": {"steps": 100, "targets": 9}, "fab-t": {"steps": 100, "targets": 9},
                 "square": {"queries": 5000}},
    "plus": {"apgd-ce": {"steps": 100, "restarts": 5}, "apgd-dlr": {"steps": 100, "restarts": 5},
             "fab": {"steps": 100, "restarts": 5}, "square": {"queries": 5000}, "apgd-t": {"steps": 100, "targets": 9},
             "fab-t": {"steps": 100, "targets": 9}},
    "rand": {"apgd-ce": {"steps": 100}, "apgd-dlr": {"steps": 100}},
}
STANDARD_L1 = {"apgd-ce": {"restarts": 5}, "apgd-t": {"targets": 5}}      # what differs there
SHARED = ("eps", "norm", "mask", "seed", "batch_size", "budget", "out", "quiet")
ONE_DISTANCE = ("fab", "rays")                                          # no eps of each value
CLASSES = {"apgd-dlr": 3, "apgd-t": 4}                                  # that a stage needs


def stages_of(version, norm, attacks=None):
    """Return [Stage] of a version, or of `attacks`: names, or (name, settings), of stages and of attacks that take an eps."""
    if attacks is not None:
        if isinstance(attacks, str) or not isinstance(attacks, Sequence):
            raise OptionError(f"attacks is {attacks!r}; expected a list of names, or of (name, settings)", 'attacks=["apgd-ce", "square"]')
        return _told_apart([_chosen(*_name_and_settings(item), norm) for item in attacks])
    if not isinstance(version, str) or version not in VERSIONS:
        raise OptionError(f"there is no ladder {version!r}; expected {', '.join(list(VERSIONS)[:-1])} or {list(VERSIONS)[-1]}")
    changed = STANDARD_L1 if version == "standard" and norm == "l1" else {}
    return [_chosen(name, {**settings, **changed.get(name, {})}, norm) for name, settings in VERSIONS[version].items()]


def _name_and_settings(item):
    """Return both of an entry of a list: a name, or (name, settings); or raise OptionError."""
    name, settings = item if isinstance(item, tuple) and len(item) == 2 else (item, {})
    if not isinstance(name, str) or not isinstance(settings, dict):
        raise OptionError(f"{item!r} stands in the list of attacks; expected a name, or (name, settings)",
                          '["apgd-ce", ("square", {"queries": 1000})]')
    return name, settings


def _chosen(name, settings, norm):
    """Return one Stage, or raise OptionError."""
    from tinyvgg import attacks
    attack, own = NAMED.get(name, (attacks.ATTACKS.get(name), {}))
    if attack is None or name == "ladder":
        known = [*NAMED, *(k for k, f in attacks.ATTACKS.items() if takes(f, "eps") and k not in ("ladder", *NAMED))]
        raise OptionError(f"there is no stage {name!r}; expected some of {', '.join(known)}", "--attacks apgd-ce,apgd-t,square")
    if not takes(attack, "eps"):
        raise OptionError(f"{name} looks for the nearest image at any distance; a stage of the ladder searches within eps", "fab, fab-t or pgd")
    if norm != "linf" and not takes(attack, "norm"):
        raise OptionError(f"{name} does linf only; got {norm}", "the same without it")
    strange = next((key for key in settings if not takes(attack, key)), None)
    shared = next((key for key in settings if key in SHARED), None)
    if shared:
        raise OptionError(f"{shared} is a setting of the whole ladder, not of {name} alone", f"ladder(..., {shared}=...)")
    if strange:
        raise OptionError(f"{name} has no setting {strange!r}")
    return Stage(name, attack, {**own, **settings})


def _told_apart(stages):
    """Return the stages, or raise OptionError where there are none, or where a name stands twice: each keeps files of its own."""
    names = [stage.name for stage in stages]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not names or twice:
        raise OptionError("no attacks were given" if not names else f"{twice} stands twice in the list of attacks",
                          "--attacks apgd-ce,apgd-t,square")
    return stages
