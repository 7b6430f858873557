"""What surrounds a synthetic plant: the ground below, the camera above, and the noise that textures both.

Coordinates ``y`` (size, 1) and ``x`` (1, size) run from -1 to 1 across the picture, so that a scene does not
depend on the number of pixels.
"""

import functools

import numpy as np
from scipy import ndimage


def ground(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, centre: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Tray, pot and soil with grit and moss, seen from above: float32 (3, size, size), about 0 to 1.

    ``centre`` is the pot's (y, x); ``light`` is the unit vector (y, x) towards the lamp.
    """
    size, pixel = len(y), 2 / len(y)
    coarse, fine = _fractal(rng, size, 4, 5, 0.6), _fractal(rng, size, 32, 4, 0.9)

    tray = _tone(rng, 0.70, 0.33, 0.23) * (1 + 0.05 * coarse + 0.03 * fine)
    angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.03)
    outward = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(0.72, 0.95)
    tray = tray * np.where(outward > 0, 0.9 + 0.22 * np.sin(outward * 45), 1)

    soil = _tone(rng, 0.25, 0.20, 0.16) * np.clip(1 + 0.22 * coarse + 0.34 * fine, 0.3, 2.2)
    grit = np.clip(noise(rng, size, 90) - 2.1, 0, 1)
    soil = soil + grit * _tone(rng, 0.55, 0.45, 0.33)
    patches, tufts = noise(rng, size, 5) + 0.5 * noise(rng, size, 12), noise(rng, size, 80)
    moss = np.clip(0.9 * patches - rng.uniform(0.1, 0.9) + 0.7 * fine, 0, 1) * rng.uniform(0.6, 0.95)
    green = _tone(rng, 0.40, 0.48, 0.10) * np.clip(1 + 0.3 * tufts + 0.15 * fine, 0.3, 1.8)
    soil = soil + moss * (green - soil)

    dy, dx = y - np.float32(centre[0]), x - np.float32(centre[1])
    outside = np.hypot(dy, dx) - rng.uniform(0.86, 1.02)  # distance to the inner edge of the pot
    lamp_side = (dy * light[0] + dx * light[1]) / np.maximum(np.hypot(dy, dx), 0.01)
    soil = soil * (1 - 0.55 * np.exp(-((np.minimum(outside, 0) / 0.07) ** 2)) * (0.6 + 0.4 * lamp_side))
    round_top = np.sin(np.clip(outside / 0.045, 0, 1) * np.pi)
    wall = _tone(rng, 0.23, 0.20, 0.21) * (1 + 0.5 * round_top * (1 - lamp_side))
    tray = tray * (1 - 0.5 * np.clip(1 - outside / 0.2, 0, 1) * (0.5 - 0.5 * lamp_side))
    over_soil = np.clip(0.5 + outside / pixel, 0, 1)
    over_wall = np.clip(0.5 + (outside - 0.045) / pixel, 0, 1)
    image = soil + over_soil * (wall - soil)
    return (image + over_wall * (tray - image)).astype(np.float32)


def _tone(rng: np.random.Generator, *rgb: float) -> np.ndarray:
    """A colour (3, 1, 1) near the given one: lighter or darker, and a little off in hue."""
    tone = np.array(rgb) + rng.normal(0, 0.02) + rng.normal(0, 0.012, 3)
    return tone.astype(np.float32)[:, None, None]


def photograph(rng: np.random.Generator, image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A camera's picture of the scene: uneven light, the lens's blur, the sensor's noise; in [0, 1]."""
    size = len(y)
    lean = rng.normal(0, 0.09, 2)
    lamp = 1 + lean[0] * y + lean[1] * x - 0.1 * (y * y + x * x) + 0.04 * noise(rng, size, 3)
    image = image * (lamp * rng.uniform(0.92, 1.2) * rng.normal(1, 0.02, 3)[:, None, None])
    image = ndimage.gaussian_filter(image, (0, 0.0035 * size, 0.0035 * size))
    deviation = np.sqrt(0.01**2 + 0.0003 * np.clip(image, 0, 1))  # of read-out and photon noise together
    image = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1).astype(np.float32)


def noise(rng: np.random.Generator, size: int, nodes: int) -> np.ndarray:
    """Smooth noise (size, size) of mean 0 and variance 1, with about ``nodes`` bumps across at any size.

    What is finer than a pixel averages out, as it does in a camera.
    """
    grid = rng.standard_normal((nodes, nodes), dtype=np.float32)
    weights = _noise_weights(size, nodes)
    return weights @ grid @ weights.T


@functools.lru_cache(maxsize=64)
def _noise_weights(size: int, nodes: int) -> np.ndarray:
    """Gaussian interpolation (size, nodes) that keeps the variance of independent nodes."""
    spread = 0.6
    at = (np.arange(size) + 0.5) * nodes / size - 0.5
    away = (at[:, None] - np.arange(nodes)) / max(spread, 0.5 * nodes / size)
    weights = np.exp(-0.5 * away**2)
    weights *= (2 * spread * np.pi**0.5) ** 0.5 / weights.sum(1, keepdims=True)
    return weights.astype(np.float32)


def _fractal(rng: np.random.Generator, size: int, nodes: int, octaves: int, persistence: float) -> np.ndarray:
    """Octaves of noise, each with twice the bumps and ``persistence`` times the strength of the last."""
    strengths = persistence ** np.arange(octaves, dtype=np.float32)
    total = sum(strength * noise(rng, size, nodes * 2**k) for k, strength in enumerate(strengths))
    return total / np.linalg.norm(strengths)
