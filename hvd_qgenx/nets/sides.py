"""Sides of images that a network takes."""

from hvd_qgenx.errors import ConfigurationError


def check_side(model: str, side: int, smallest: int, step: int, otherwise: str = "") -> None:
    """Checks the side of a model's images.

    Args:
        model: its name.
        side: of the images.
        smallest: the least side that it takes.
        step: between two such sides; divides the smallest.
        otherwise: ends the advice.

    Raises:
        ConfigurationError: the model takes no such images; names the nearest sides.
    """
    if side >= smallest and side % step == 0:
        return
    below = side // step * step
    nearest = " or ".join(str(each) for each in (below, below + step) if each >= smallest) or smallest
    sides = ", ".join(str(smallest + number * step) for number in range(3))
    raise ConfigurationError(
        f"{model} takes images of side {sides} and so on in steps of {step}, not {side}; "
        f"give --image-size {nearest}{otherwise}"
    )
