"""Fakes of the services that an agent uses: real servers on 127.0.0.1 that check what they receive.

Each is started as `async with FakeChat(...) as chat:` and then found at `chat.url`. What it received is in `requests`,
what was wrong with it in `problems`; leaving the block with problems fails the test, unless `check=False`. Latencies
are seconds. The schemas are those of the official `openai` package; those of other dialects are in `dialects`.
"""

from .chat import Answer, FakeChat, ToolCall
from .realtime import FakeRealtime, Say
from .speech import FakeStt, FakeTts

__all__ = ["Answer", "FakeChat", "FakeRealtime", "FakeStt", "FakeTts", "Say", "ToolCall"]
