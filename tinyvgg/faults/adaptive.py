"""An attacker who knows the defence: a plan that RADAR does not notice."""
import numpy as np

from tinyvgg.faults.plan import FlipPlan, Step, flips_of


def evade_radar(plan, store, radar, *, knows_key=True):
    """Return `plan` with a second flip for each flip of an int8 weight, so that the sum of its group does not change. The second
    flip is the same bit of another weight in the group, where the change has the opposite sign under the group's key. So the sum,
    and with it the signature, stays the same. knows_key=False: the attacker assumes that all signs are plus, and every second
    pair does not cancel. Flips without a partner, and flips in arrays that RADAR does not watch, are left out.
    """
    taken, steps = set(plan.net()), []
    for key, index, bit in plan.net():
        partner = _partner(store, radar, key, index, bit, taken, knows_key) if key in radar.keys else None
        if partner is not None:
            taken.add((key, partner, bit))
            steps.append(Step(tuple(flips_of(store, [(key, index, bit), (key, partner, bit)]))))
    return FlipPlan(plan.model, plan.sha256, plan.form, plan.memory, steps, {"evades": f"radar, groups of {radar.group}"})


def _partner(store, radar, key, index, bit, taken, knows_key):
    """Another weight of the group of `index` whose flip of `bit` cancels in the group's sum, or None."""
    groups, flat = radar.counts[key], store.arrays[key].reshape(-1)
    members = np.arange(index % groups, len(flat), groups)
    rows = members // groups
    signs = np.where(radar.secrets[key] >> (rows % 32) & 1, -1, 1) if knows_key else np.ones(len(rows), int)
    # A flip that sets a bit adds to the number, but for bit 7, which subtracts: alike within one bit, so only the sense counts.
    senses = signs * np.where(flat[members] >> bit & 1, -1, 1)
    mine = senses[members == index][0]
    usable = store.usable(key)[members]
    found = [int(m) for m, s, u in zip(members, senses, usable, strict=True) if s == -mine and u and (key, int(m), bit) not in taken]
    return found[0] if found else None
