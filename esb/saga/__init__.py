"""Sagas: steps at several systems that all take place, or are undone in reverse (Garcia-Molina and Salem, 1987).

Pure: a definition and transitions. What comes in gives a new state and effects; somebody else carries them out.
"""

from esb.saga.definition import SagaDefinition, compile_saga
from esb.saga.effects import Command, Effect, Event, Move, SetTimer, Undone
from esb.saga.inputs import Act, Answer, Due, Input, Late
from esb.saga.state import ACTS, Entry, Leg, Saga, Status, StepState
from esb.saga.transitions import advance, start

__all__ = [
    "ACTS",
    "Act",
    "Answer",
    "Command",
    "Due",
    "Effect",
    "Entry",
    "Event",
    "Input",
    "Late",
    "Leg",
    "Move",
    "Saga",
    "SagaDefinition",
    "SetTimer",
    "Status",
    "StepState",
    "Undone",
    "advance",
    "compile_saga",
    "start",
]
