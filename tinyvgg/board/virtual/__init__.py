"""The STM32L4R9 without the hardware: memory map, registers, cycle model, on unicorn (extra `board`)."""
