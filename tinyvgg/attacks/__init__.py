"""Adversarial attacks, one a file: functions with keyword-only settings and a seed that return a re-checked AttackResult.

from tinyvgg import attacks
result = attacks.pgd(model, x, y, eps="8/255", norm="linf", steps=40)
print(result.robust_accuracy, result.flags)
"""
from tinyvgg.attacks.evaluate import replay
from tinyvgg.attacks.fgsm import fgsm
from tinyvgg.attacks.noise import noise
from tinyvgg.attacks.pgd import pgd
from tinyvgg.attacks.result import AttackResult, load, wilson
from tinyvgg.attacks.victim import as_classifier

ATTACKS = {"noise": noise, "fgsm": fgsm, "pgd": pgd}

__all__ = ["ATTACKS", "AttackResult", "as_classifier", "load", "replay", "wilson", *ATTACKS]
