"""How a model is asked, whatever engine it runs on: deadline, one retry, circuit breaker, checked answers.

Nothing that does not fit the schema or names a label that does not exist comes out of here, and no
failure either: each text gets an answer or the one reason why the rules must decide.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.mapper.answer import AnswerCheck, ModelAnswer
from services.mapper.decide import ModelOutcome
from services.mapper.engines.circuit import Circuit
from services.mapper.engines.engine import Engine, Question, QuestionRefused
from trimtab.contracts.errors import DeadlineExceeded, DependencyError
from trimtab.contracts.mapping import FallbackReason
from trimtab.telemetry.logs import Logger

RESERVE = 0.2
"""Share of the time left that an engine which is waited for must leave for the answer's way back."""

ROUNDS = (False, True)
"""Asked, and asked again about what was not usable: exactly one retry."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long one request may wait for its model, and what it is told when that is over."""

    remaining_s: float
    """Until the caller's deadline."""
    budget_s: float | None = None
    """Most that a model may take; None leaves it to the deadline."""
    fail_on_timeout: bool = False
    """True: an error in place of the rules' answer."""

    def limit_s(self, *, remote: bool) -> float:
        """Return the longest wait, seconds."""
        left = self.remaining_s * (1 - RESERVE) if remote else self.remaining_s
        return left if self.budget_s is None else min(left, self.budget_s)

    @property
    def generous(self) -> bool:
        """Whether being late is the model's fault: the caller left it the whole budget."""
        return self.budget_s is not None and self.budget_s <= self.remaining_s * (1 - RESERVE)


AT_LEISURE = Terms(float("inf"))
"""For callers without a deadline."""


@dataclass
class Outcome:
    """What came of a question; filled while it is asked."""

    found: dict[int, ModelOutcome] = field(default_factory=dict)
    """By place of the text."""
    calls: int = 0
    """Model calls."""
    invalid: int = 0
    """Answers that were not usable."""
    retries: int = 0
    """Calls that were made for a second time."""

    @property
    def valid(self) -> int:
        """Answers that were usable."""
        return sum(isinstance(each, ModelAnswer) for each in self.found.values())

    def answers(self, count: int, missing: FallbackReason) -> list[ModelOutcome]:
        """Return one outcome per text; ``missing`` for those that were never answered."""
        return [self.found.get(place, missing) for place in range(count)]


@dataclass
class Guard:
    """Asks one engine."""

    engine: Engine
    """Who answers."""
    check: AnswerCheck
    """What may come out."""
    circuit: Circuit
    """Whether it is asked at all."""
    log: Logger
    """For an engine that raises."""
    budget_s: float | None = None
    """Most that a model may take when nobody chose otherwise; None: the caller's deadline alone."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; never goes back."""

    async def ask(self, question: Question, terms: Terms) -> tuple[list[ModelOutcome], Outcome]:
        """Return an outcome per text, and the counts.

        Raises:
            DeadlineExceeded: too late, and the terms want an error then.
        """
        outcome = Outcome()
        if not self.circuit.admit(self.clock()):
            return outcome.answers(len(question.texts), FallbackReason.CIRCUIT_OPEN), outcome
        missing = await self._tried(question, terms, outcome)
        answers = outcome.answers(len(question.texts), missing)
        if terms.fail_on_timeout and FallbackReason.TIMEOUT in answers:
            raise DeadlineExceeded("map", terms.remaining_s * 1000)
        return answers, outcome

    async def _tried(self, question: Question, terms: Terms, outcome: Outcome) -> FallbackReason:
        """Ask, tell the circuit how that went, and return why texts without an answer have none."""
        try:
            await self._within(question, terms, outcome)
        except TimeoutError:
            self._late(terms)
            return FallbackReason.TIMEOUT
        except QuestionRefused as error:  # no sign of a model that fails: others may ask it
            self.circuit.dropped()
            self.log.warning("question_refused", kind=self.engine.kind, detail=error.detail)
        except DependencyError as error:  # expected of a server: its status says enough
            self.circuit.failed(self.clock())
            self.log.warning("model_failed", kind=self.engine.kind, detail=error.detail)
        except Exception:  # whatever a model raises, the rules still answer
            self.circuit.failed(self.clock())
            self.log.exception("model_failed", kind=self.engine.kind)
        except BaseException:
            self.circuit.dropped()
            raise
        else:
            self.circuit.succeeded()
            return FallbackReason.INVALID_OUTPUT
        return FallbackReason.MODEL_ERROR

    def _late(self, terms: Terms) -> None:
        if terms.generous or not self.engine.remote:
            self.circuit.failed(self.clock())
        else:
            self.circuit.dropped()

    async def _within(self, question: Question, terms: Terms, outcome: Outcome) -> None:
        """Ask within the limit.

        Raises:
            TimeoutError: it is over; what was answered before stays in the outcome.
        """
        limit_s, began = terms.limit_s(remote=self.engine.remote), self.clock()
        if limit_s <= 0:
            raise TimeoutError
        if self.engine.remote:
            async with asyncio.timeout(limit_s):
                await self._rounds(question, outcome)
            return
        await self._rounds(question, outcome)
        if self.clock() - began > limit_s:  # what holds the loop cannot be interrupted
            outcome.found.clear()
            raise TimeoutError

    async def _rounds(self, question: Question, outcome: Outcome) -> None:
        open_places: Sequence[int] = range(len(question.texts))
        for again in ROUNDS:
            asked = question.only(open_places) if again else question
            calls = len(open_places) if self.engine.remote else 1
            outcome.calls += calls
            outcome.retries += calls if again else 0
            raw = await self.engine.answer(asked, again=again)
            for place, each in zip(open_places, raw, strict=True):
                accepted = self.check.accept(each)
                if accepted is None:
                    outcome.invalid += 1
                else:
                    outcome.found[place] = accepted
            open_places = [place for place in open_places if place not in outcome.found]
            if not open_places:
                return
