"""Draws by Zipf's law: the n-th of the choices is drawn 1/n as often as the first."""

import random
from itertools import accumulate


class Zipf:
    """Draws numbers from 0 to `choices` - 1."""

    def __init__(self, choices: int, chance: random.Random) -> None:
        self._numbers = range(choices)
        self._weights = list(accumulate(1 / (number + 1) for number in self._numbers))
        self._chance = chance

    def draw(self) -> int:
        return self.draw_many(1)[0]

    def draw_many(self, count: int) -> list[int]:
        return self._chance.choices(self._numbers, cum_weights=self._weights, k=count)
