"""Sends spans and log records with the real OpenTelemetry SDK: send.py ENDPOINT COMPRESSION COMMIT WHAT..."""
import logging
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

endpoint, compression, commit, *wanted = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
STDERR = """Traceback (most recent call last):
  File "tools/report.py", line 2, in <module>
ZeroDivisionError: division by zero with hunter22
"""
resource = Resource.create({"service.name": "nightly", "vcs.ref.head.revision": commit})


class Told:
    """An exporter that says how each export ended."""

    def __init__(self, exporter):
        self.exporter = exporter

    def export(self, batch):
        result = self.exporter.export(batch)
        print(result.name, flush=True)
        return result

    def __getattr__(self, name):
        return getattr(self.exporter, name)


def exporter(kind, path):
    return Told(kind(endpoint=f"{endpoint}/v1/{path}", compression=Compression(compression)))


tracing = TracerProvider(resource=resource)
tracing.add_span_processor(BatchSpanProcessor(exporter(OTLPSpanExporter, "traces"), max_queue_size=100_000))
tracer = tracing.get_tracer("tests")
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(exporter(OTLPLogExporter, "logs")))
logger = logs.get_logger("tests")


def process():
    with tracer.start_as_current_span("GET /reports"):
        with tracer.start_as_current_span("report.py") as span:
            span.set_attribute("process.executable.name", "python3.11")
            span.set_attribute("process.command_args", ["python3", "tools/report.py", "--token", "hunter22", "0"])
            span.set_attribute("process.pid", 17)
            span.set_attribute("process.exit.code", 1)
            span.set_attribute("fractal.stderr", STDERR)


def call():
    with tracer.start_as_current_span("execute_tool flights") as span:
        span.set_attribute("gen_ai.operation.name", "execute_tool")
        span.set_attribute("gen_ai.tool.name", "flights")
        span.set_attribute("gen_ai.tool.call.id", "call_1")
        span.set_attribute("gen_ai.tool.call.arguments", '{"to": "LIS"}')
        span.set_attribute("gen_ai.tool.call.result", "[17]")


def broken():
    try:
        with tracer.start_as_current_span("tools/call flights") as span:
            span.set_attribute("mcp.method.name", "tools/call")
            span.set_attribute("gen_ai.tool.name", "flights")
            raise TimeoutError("no answer from LIS")
    except TimeoutError:
        pass


def misnamed():
    with tracer.start_as_current_span("x") as span:
        span.set_attribute("fractal.tool", "a b")


def log():
    logger.emit(body="just a word", attributes={"process.executable.name": "report.py"})
    attributes = {"process.executable.name": "report.py", "process.exit.code": 3, "fractal.duration_ms": 20}
    logger.emit(body="it is late", attributes=attributes, timestamp=1_700_000_000_000_000_000)


def wait():
    """Goes on when it is told to."""
    print("ready", flush=True)
    sys.stdin.readline()


def many(count):
    for number in range(count):
        with tracer.start_as_current_span("report.py") as span:
            span.set_attribute("process.command_args", ["tools/report.py", str(number)])
            span.set_attribute("process.exit.code", 0)


for what in wanted:
    if what.isdigit():
        many(int(what))
    else:
        globals()[what]()
tracing.shutdown()
logs.shutdown()
