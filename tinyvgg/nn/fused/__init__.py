"""Stages: groups of layers that fast kernels compute together, and the steps that each adds to a plan's programs.

A stage reads values (image tensors with the borders that convolutions need) and writes one. The modes:
    train      batch statistics and dropout; keeps R, the result that a convolution stores, for the backward pass
    gradient   moving statistics; keeps R too
    images     the same, for gradients with respect to the images only; R is kept only if the stage's result is not enough
    infer      moving statistics; as much as possible is done while a convolution's result is still in registers
"""
