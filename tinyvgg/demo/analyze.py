"""Count what the network would take on the board, by ST's rules and by ours."""

from tinyvgg.analyze import analyze

NEEDS, WISHES = ("train",), ()
BOARD = "stm32l4r9i-disco"
LEVELS = ("none", "low", "medium", "high")


def run(story):
    """Return rows for X-CUBE-AI's levels and for ours, and the layers as X-CUBE-AI counts them."""
    rows = []
    for rules in ("xcubeai", "tinyvgg"):
        for level in LEVELS:
            found = analyze(story.model, board=BOARD, rules=rules, compression=level).as_dict()
            command = f"tinyvgg analyze {story.model_name} --board {BOARD} --rules {rules} --compression {level}"
            rows.append({**found, "layers": found["layers"] if level == "none" else [], "command": command})
    return {"rows": rows}
