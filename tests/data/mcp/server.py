"""An MCP server whose tools succeed, fail, take their time, talk to standard error, and crash."""

import os
import signal
import sys

import anyio
from mcp.server.mcpserver import MCPServer
from mcp_types import INTERNAL_ERROR, ImageContent, ToolAnnotations
from mcp.shared.exceptions import MCPError

server = MCPServer("calculator", version="1.4.2")


@server.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False))
def divide(a: float, b: float) -> float:
    """Divides."""
    return a / b


@server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True))
def login(password: str) -> str:
    """Tells a secret."""
    print("somebody logs in", file=sys.stderr, flush=True)
    return f"welcome {password}"


@server.tool()
async def later(seconds: float, text: str) -> str:
    """Answers later."""
    await anyio.sleep(seconds)
    return text


@server.tool()
def picture() -> ImageContent:
    """Draws."""
    return ImageContent(type="image", data="QUJD" * 100, mime_type="image/png")


@server.tool()
def broken() -> str:
    """Fails on the level of the protocol."""
    raise MCPError(INTERNAL_ERROR, "the disk is full")


@server.tool()
def leave(code: int) -> str:
    """Ends the server."""
    os._exit(code)


@server.tool()
def crash() -> str:
    """Crashes the server."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return ""


if __name__ == "__main__":
    server.run()
