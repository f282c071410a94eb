"""Exact instruction counts of the inference call alone, on a virtual board."""
from tinyvgg.board.virtual import hooks
from tinyvgg.errors import require

ENTRY, AFTER_LAYER = "tv_app_infer", "network_after_layer"


class Inferences:
    """Counts from now on: `instructions` has the number of each call of tv_app_infer, from its first to its last instruction.

    A basic block is counted when it begins. So at the call's first instruction its first block is already in the count, and at
    the instruction after the call the block that goes on there is: the one is added back, the other taken off.
    `layers` has, for the last call, the instructions from the call or the last layer's end to each layer's end, `layer_stalls` the
    stalls. `stalls`: what the flash model added to the cycles that the firmware measured of the last call, by the cycle counter.
    """

    def __init__(self, machine):
        self.machine, self.instructions, self.layers, self.layer_stalls = machine, [], [], []
        self._start, self._layer_start, self._returns = None, 0, set()
        self._stalls_start = self._stalls_layer = 0
        self._unicorn = require("unicorn", "board")
        self._hook(machine.elf.symbols[ENTRY].address, self._enter)
        if AFTER_LAYER in machine.elf.symbols:
            self._hook(machine.elf.symbols[AFTER_LAYER].address, self._after_layer)
        machine.engine.ctl_flush_tb()                    # code that has run already was translated without hooks

    def _hook(self, address, function):
        self.machine.engine.hook_add(self._unicorn.UC_HOOK_CODE, function, begin=address, end=address)

    def _block(self):
        """Instructions of the block that has just begun."""
        state = self.machine.state
        return int(state[int(hooks.COST_AT) + int(state[hooks.INDEX])]) >> 16 & 0xFFFF

    def _enter(self, engine, address, size, _):
        self._start = self._layer_start = self.machine.instructions - self._block()
        self._stalls_start = hooks.signed(self.machine.state[hooks.READ_STALLS])
        self._stalls_layer = self.machine.stalls
        self.layers, self.layer_stalls = [], []
        back = engine.reg_read(self._unicorn.arm_const.UC_ARM_REG_LR) & ~1
        if back not in self._returns:
            self._returns.add(back)
            self._hook(back, self._leave)

    def _after_layer(self, engine, address, size, _):
        now = self.machine.instructions - self._block()
        self.layers.append(now - self._layer_start)
        self._layer_start = now
        stalls = self.machine.stalls
        self.layer_stalls.append(stalls - self._stalls_layer)
        self._stalls_layer = stalls

    def _leave(self, engine, address, size, _):
        if self._start is not None:
            self.instructions.append(self.machine.instructions - self._block() - self._start)
            self._start = None
            self.machine.state[hooks.READ_ARMED] = 1     # the firmware reads the cycle counter next

    @property
    def stalls(self):
        """Cycles that the flash model added between the two looks at the cycle counter around the last call."""
        return hooks.signed(self.machine.state[hooks.HELD_STALLS]) - self._stalls_start
