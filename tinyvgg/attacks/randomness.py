"""Defences that answer at random: detect them, find what is random, and judge an attack over many draws. A classifier that
answers at random has no single robust accuracy; what its user sees is the share of right answers over the draws. An attack that
follows the gradient of one draw is misled, and an image that fools one draw need not fool the next. So a single draw makes such a
defence look better than it is, or worse.
"""
import numpy as np

from tinyvgg.attacks.norms import column
from tinyvgg.report.interval import wilson

IMAGES, ASKED, MOVES = 16, 5, 1e-4      # images that are asked about, how often, and the relative change of answers that counts
DRAWS = 20                              # for an estimate of the expectation


def randomness(victim, x, y):
    """Ask several times for the same few images; return None if the answers do not change, else {"asked", "images", "changed",
    "moves", "what"}: how many images changed class, how far answers moved, and what is random: "answers", "gradients".
    """
    x, y = x[:IMAGES], y[:IMAGES]
    if not len(x):
        return None
    before = victim.queries, victim.gradients
    told = _answers(victim, x)
    classes, moves = told.argmax(axis=2) if told.ndim == 3 else told, 0.0
    if told.ndim == 3:
        told = told.astype(np.float64) - told.mean(axis=2, keepdims=True)
        moves = float(np.abs(told - told[:1]).max() / max(np.abs(told).max(), 1e-30))
    changed = int((classes != classes[:1]).any(axis=0).sum())
    found = None
    if changed or moves > MOVES:
        found = {"asked": ASKED, "images": len(x), "changed": changed, "moves": moves, "what": ["answers"]}
        if _gradients_move(victim, x, y):
            found["what"].append("gradients")
    victim.queries, victim.gradients = before
    return found


def _answers(victim, x):
    """Return ASKED answers to the same images: (ASKED, N, K), or (ASKED, N) from what tells only labels."""
    if hasattr(victim.model, "logits") or hasattr(victim.model, "scores"):
        return np.stack([victim.logits(x) for _ in range(ASKED)])
    return np.stack([victim.labels(x) for _ in range(ASKED)])


def _gradients_move(victim, x, y):
    """Whether the gradient of z_y changes too: then the randomness stands within the network, not in its answers alone."""
    if not callable(getattr(victim.model, "vjp", None)):
        return False
    first, second = (victim.vjp(x, lambda z: np.eye(z.shape[1], dtype=z.dtype)[y])[1] for _ in range(2))
    return bool(np.abs(first - second).max() > MOVES * max(np.abs(first).max(), 1e-30))


def told_of(found):
    """Return the sentence for what randomness() found."""
    where = "answers and gradients" if "gradients" in found["what"] else "answers"
    return (f"random {where}: asked {found['asked']} times, {found['changed']} of {found['images']} clean images change class and "
            f"outputs move by up to {found['moves']:.1%}")


def judged(victim, result, draws=DRAWS, batch_size=128):
    """Ask for clean and attacked images `draws` times; return {"draws", "clean_accuracy", "robust_accuracy", "interval",
    "lowest", "highest"}: shares of right answers, over all draws and of single draws. An image counts as robust in a draw if that
    draw is right and the model was right before the attack. An attacked image outside its ball is replaced by the clean one.
    """
    x, right = result.x, result.pred_clean == result.y
    adv = np.where(column(result.within, x), result.x_adv, x)
    clean = [float((victim.predictions(x, batch_size) == result.y).mean()) for _ in range(draws)]
    robust = [float((right & (victim.predictions(adv, batch_size) == result.y)).mean()) for _ in range(draws)]
    share = float(np.mean(robust))
    return {"draws": draws, "clean_accuracy": float(np.mean(clean)), "robust_accuracy": share,
            "interval": list(wilson(round(share * len(x)), len(x))), "lowest": min(robust), "highest": max(robust)}
