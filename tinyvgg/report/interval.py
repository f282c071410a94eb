"""Confidence interval of a measured share."""
import math


def wilson(successes: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return Wilson's 95 % score interval (low, high) of a share of `successes` among n (Wilson, 1927); NaN for n = 0."""
    if n == 0:
        return math.nan, math.nan
    p = successes / n
    middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)
    return low if successes > 0 else 0.0, high if successes < n else 1.0
