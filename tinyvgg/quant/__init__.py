"""The integer model: graph, the one rounding rule, calibration, lowering, codebooks, bit-exact simulation, memory plan, .tvq."""
