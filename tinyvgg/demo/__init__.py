"""The whole story: from training to the board and through attacks on it, stage by stage, told on one page.

    from tinyvgg.demo import demo
    demo("demo")["report"]                      # demo/report.html

A stage is one file with NEEDS (stages whose results it reads), WISHES (stages whose results it uses where they are there) and
run(story), which returns plain data. DIR/STAGE/result.json keeps it, written whole: a second run goes on after what is there.
"""

from tinyvgg.demo.run import STAGES, demo
from tinyvgg.demo.story import Settings, Story

__all__ = ["STAGES", "Settings", "Story", "demo"]
