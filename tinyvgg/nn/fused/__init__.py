"""Runs of layers that fast kernels do together, and the steps that each contributes to a plan's programs.

A stage reads values (image tensors with the borders that convolutions need) and writes one. The modes:
    train      batch statistics and dropout; keeps R, what a convolution stored, for the way back
    gradient   moving statistics, keeps R too
    images     the same for gradients by the images alone: R is kept only where the result does not tell enough
    infer      moving statistics; whatever can happens while a convolution's result is still in registers
"""
