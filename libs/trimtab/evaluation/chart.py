"""Two small charts as inline SVG, lines and bars: enough to look at a measurement, nothing to install. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 44
_COLOURS = ("#1f5fa8", "#c2571a", "#2e7d4f", "#7a3e9d")
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    name: str
    """For the legend."""
    ys: Sequence[float]
    """One per place on the x axis."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A horizontal line that the curves are judged by."""

    name: str
    """Beside it."""
    y: float
    """Where."""


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    places: int
    step: float

    def x(self, place: int) -> float:
        return _LEFT + (place + 0.5) * (_WIDTH - _LEFT - _RIGHT) / self.places

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def lines(places: Sequence[str], curves: Sequence[Line], marks: Sequence[Mark], unit: str) -> str:
    """Return curves over evenly spaced places, as an SVG element."""
    values = [y for curve in curves for y in curve.ys] + [mark.y for mark in marks]
    scale = _scale(values, len(places))
    drawn = [_axes(places, scale, unit)]
    drawn += [_mark(mark, scale) for mark in marks]
    drawn += [_curve(number, curve, scale) for number, curve in enumerate(curves)]
    return _svg(drawn)


def bars(places: Sequence[str], values: Sequence[float], unit: str) -> str:
    """Return one bar per place, from zero, as an SVG element."""
    return grouped(places, [Line("", values)], unit)


def grouped(places: Sequence[str], groups: Sequence[Line], unit: str) -> str:
    """Return one bar of each group side by side per place, from zero, as an SVG element."""
    scale = _scale([0.0, *(y for group in groups for y in group.ys)], len(places))
    width = 0.8 * (_WIDTH - _LEFT - _RIGHT) / max(1, len(places)) / max(1, len(groups))
    drawn = [_axes(places, scale, unit)]
    for number, group in enumerate(groups):
        drawn.append(_legend(number, group.name))
        for place, value in enumerate(group.ys):
            left = scale.x(place) + (number - len(groups) / 2) * width
            top, zero = sorted((scale.y(value), scale.y(0.0)))
            drawn.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{zero - top:.1f}" fill="{_COLOURS[number]}"><title>'
                f"{escape(f'{places[place]} {group.name}'.strip())}: {value:g}</title></rect>"
            )
    return _svg(drawn)


def _scale(values: Sequence[float], places: int) -> _Scale:
    """Return a scale from one round number to another, with all values between them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = _step((high - low) / _TICKS or abs(high) / _TICKS or 1.0)
    first, last = math.floor(low / step), math.ceil(high / step)
    return _Scale(first * step, max(last, first + 1) * step, max(1, places), step)


def _step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, ... times a power of ten that is no less than ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999999)


def _axes(places: Sequence[str], scale: _Scale, unit: str) -> str:
    parts = []
    for tick in range(round((scale.high - scale.low) / scale.step) + 1):
        value = scale.low + tick * scale.step
        y = scale.y(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>'
        )
        shown = f"{round(value, 10):g}"
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>')
    every = max(1, len(places) // 16)
    for place, name in enumerate(places):
        if place % every == 0:
            x = scale.x(place)
            parts.append(
                f'<text x="{x:.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{escape(name)}</text>'
            )
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{escape(unit)}</text>')
    return "".join(parts)


def _mark(mark: Mark, scale: _Scale) -> str:
    y = scale.y(mark.y)
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="m"/>'
        f'<text x="{_WIDTH - _RIGHT}" y="{y - 4:.1f}" text-anchor="end">{escape(mark.name)}</text>'
    )


def _curve(number: int, curve: Line, scale: _Scale) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    points = [(scale.x(place), scale.y(y)) for place, y in enumerate(curve.ys)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{value:g}</title></circle>'
        for (x, y), value in zip(points, curve.ys, strict=True)
    )
    legend = _legend(number, curve.name)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{legend}'
    )


def _legend(number: int, name: str) -> str:
    if not name:
        return ""
    return (
        f'<text x="{_WIDTH - _RIGHT - 90 * number}" y="{_HEIGHT - 6}" text-anchor="end" '
        f'style="fill:{_COLOURS[number]}">{escape(name)}</text>'
    )


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(parts)}</svg>"
    )
