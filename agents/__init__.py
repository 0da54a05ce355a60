"""Decision rules, and agents: posterior + rule + memory + schedule."""

from vbandits.agents.agent import Agent, AgentSpec
from vbandits.agents.rules import EpsilonGreedy, Greedy, Thompson, Uniform

__all__ = ["Agent", "AgentSpec", "EpsilonGreedy", "Greedy", "Thompson", "Uniform"]
