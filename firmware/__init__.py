"""Bare-metal firmware for the STM32L4R9 Discovery kit: sources, and the functions that build, plan and flash it."""
