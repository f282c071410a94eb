"""Adversarial attacks, one in each file: functions with keyword-only settings and a seed. Each returns a re-checked AttackResult.

    from tinyvgg import attacks
    result = attacks.pgd(model, x, y, eps="8/255", norm="linf", steps=40)
    print(result.robust_accuracy, result.flags)
"""
from tinyvgg.attacks.apgd import apgd, apgd_t
from tinyvgg.attacks.cw import cw
from tinyvgg.attacks.deepfool import deepfool
from tinyvgg.attacks.defended import defended
from tinyvgg.attacks.deployed import deployed
from tinyvgg.attacks.evaluate import replay
from tinyvgg.attacks.fab import fab
from tinyvgg.attacks.fgsm import fgsm
from tinyvgg.attacks.fmn import fmn
from tinyvgg.attacks.frameworks import from_keras, from_torch
from tinyvgg.attacks.hopskipjump import hopskipjump
from tinyvgg.attacks.ladder import ladder, ladder_text
from tinyvgg.attacks.mifgsm import mifgsm
from tinyvgg.attacks.noise import noise
from tinyvgg.attacks.pgd import pgd
from tinyvgg.attacks.preprocess import jpeg, normalise, preprocessed, random_resize, resize
from tinyvgg.attacks.rays import rays
from tinyvgg.attacks.result import AttackResult, load
from tinyvgg.attacks.square import square
from tinyvgg.attacks.sweep import eps_curve, step_map, success_by_queries, target_matrix, transfer
from tinyvgg.attacks.victim import as_classifier
from tinyvgg.report.interval import wilson

_FUNCTIONS = (noise, fgsm, pgd, mifgsm, apgd, apgd_t, fab, square, deepfool, cw, fmn, hopskipjump, rays, ladder)
ATTACKS = {function.__name__: function for function in _FUNCTIONS}
NEEDS = dict.fromkeys(ATTACKS, "gradients") | {"noise": "labels", "square": "scores", "hopskipjump": "labels", "rays": "labels"}

__all__ = ["ATTACKS", "NEEDS", "AttackResult", "apgd", "apgd_t", "as_classifier", "cw", "deepfool", "defended", "deployed", "eps_curve", "fab",
           "fgsm", "fmn", "from_keras", "from_torch", "hopskipjump", "jpeg", "ladder", "ladder_text", "load", "mifgsm", "noise", "normalise",
           "pgd", "preprocessed", "random_resize", "rays", "replay", "resize", "square", "step_map", "success_by_queries", "target_matrix",
           "transfer", "wilson"]
