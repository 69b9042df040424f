"""The flow engine: steps of enterprise integration patterns, compiled to functions. Pure: messages in, messages out."""

from esb.flow.compile import build_parts, compile_flow, compile_mapping
from esb.flow.context import Parts
from esb.flow.legs import Continuation, calls
from esb.flow.result import PART, Call, ChildFailure, Event, Failure, Result, Send, StepTrace
from esb.flow.run import Flow
from esb.flow.steps import STEPS

__all__ = [
    "PART",
    "STEPS",
    "Call",
    "ChildFailure",
    "Continuation",
    "Event",
    "Failure",
    "Flow",
    "Parts",
    "Result",
    "Send",
    "StepTrace",
    "build_parts",
    "calls",
    "compile_flow",
    "compile_mapping",
]
