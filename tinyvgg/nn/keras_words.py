"""Keras' names for the settings of fit, translated to tinyvgg's."""
from typing import Any

from tinyvgg.errors import OptionError

# What Keras' fit takes and ours does not: why, or what to say instead.
OTHERS = {"shuffle": ("the images are always shuffled, by the seed", "leave it out"),
          "initial_epoch": ("a stopped run goes on by itself, a finished one with more epochs", "out=FOLDER, resume=True"),
          "steps_per_epoch": ("an epoch is all images", "fewer images"),
          "validation_batch_size": ("validation takes what fits", "leave it out"),
          "validation_steps": ("validation takes all its images", "validation=(x, y)"),
          "validation_freq": ("validation follows each epoch", "leave it out")}


def as_ours(settings: Any) -> dict[str, Any]:
    """Translate the settings of Model.fit to those of train.fit; raise OptionError for a setting of Keras that tinyvgg does not
    have."""
    ours = dict(settings)
    for word, (why, instead) in OTHERS.items():
        if word in ours:
            raise OptionError(f"fit has no {word}: {why}", instead)
    for word in ("validation_split", "validation_data"):
        if ours.get(word) is not None:
            if ours.get("validation") is not None:
                raise OptionError(f"{word} and validation say the same; expected one of them", "validation=0.1, or validation=(x, y)")
            ours["validation"] = ours[word]
        ours.pop(word, None)
    if "verbose" in ours:
        ours.setdefault("quiet", not ours["verbose"])
        del ours["verbose"]
    return ours
