"""The STM32L4R9 on unicorn's Cortex-M4: memories, registers, faults by name, exact counts, modelled cycles."""
