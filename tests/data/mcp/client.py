"""A client: `client.py STORY COMMAND ARGS...` starts the server and plays a story; prints what it got, one JSON value a line."""

import json
import os
import sys

import anyio
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation


def tell(value):
    print(json.dumps(value), flush=True)


async def call(session, tool, arguments, timeout=None):
    try:
        result = await session.call_tool(tool, arguments, read_timeout_seconds=timeout)
    except MCPError as error:
        tell({"error": error.error.code, "message": error.error.message})
        return
    text = [block.text if block.type == "text" else block.type for block in result.content]
    tell({"failed": result.is_error, "content": text})


async def everyday(session):
    tools = (await session.list_tools()).tools
    tell({"tools": [tool.name for tool in tools]})
    await call(session, "divide", {"b": 4, "a": 1})
    await call(session, "divide", {"a": 1, "b": 0})
    await call(session, "login", {"password": "hunter22"})
    await call(session, "picture", {})
    await call(session, "broken", {})


async def many(session):
    async def one(number):
        await call(session, "later", {"seconds": (200 - number) / 400, "text": str(number)})

    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(one, number)


async def cancelled(session):
    await call(session, "later", {"seconds": 60, "text": "never"}, timeout=0.3)
    await call(session, "later", {"seconds": 0, "text": "soon"})


async def leaves(session):
    await call(session, "divide", {"a": 1, "b": 1})
    await call(session, "leave", {"code": 7})


async def crashes(session):
    await call(session, "divide", {"a": 1, "b": 1})
    await call(session, "crash", {})


async def everything(session):
    tools = (await session.list_tools()).tools
    tell({"tools": len(tools)})
    await call(session, "echo", {"message": "hello"})
    await call(session, "get-sum", {"a": 2, "b": 3})
    await call(session, "get-sum", {"a": "two"})
    await call(session, "get-tiny-image", {})
    await call(session, "no-such-tool", {})


STORIES = {story.__name__: story for story in (everyday, many, cancelled, leaves, crashes, everything)}


async def main():
    story, command, *args = sys.argv[1:]
    parameters = StdioServerParameters(command=command, args=args, env=dict(os.environ))
    me = Implementation(name="test client", version="0.1")
    if story.startswith("modern "):
        # The revision of 2026-07-28: no handshake, every request says who asks.
        async with Client(stdio_client(parameters), client_info=me, mode="2026-07-28") as client:
            await STORIES[story.removeprefix("modern ")](client.session)
        return
    async with stdio_client(parameters) as streams, ClientSession(*streams, client_info=me) as session:
        answer = await session.initialize()
        tell({"server": answer.server_info.name, "protocol": answer.protocol_version})
        await STORIES[story](session)


anyio.run(main)
