# The warm interpreter: imports once what a tool and its tests import, then forks a child for every job.
#
# The parent reads jobs from its standard input and answers on its standard output (four bytes of length, then JSON). It never runs
# a line of the tool or the tests. A child has no descriptor of ours: it reports through a piece of shared memory that has none.
# What a child runs may be hostile. It can end, hang, fill memory, replace everything it can name; what it reports is then missing,
# and missing is never a pass. It is not a prison: code that walks our frames to find the shared memory can lie.
#
# triage  many sources in one child. A verdict counts only after the state of the interpreter was found as it had been before;
#         whatever reaches out of the interpreter (an audit event that is not known to be harmless) is left to `run`.
# run     one test on one source in a child of its own.

import _thread
import atexit
import builtins
import gc
import json
import mmap
import os
import resource
import select
import signal
import struct
import sys
import time
import warnings
from builtins import (
    BaseException, BlockingIOError, ChildProcessError, Exception, MemoryError, OSError, SyntaxError, SyntaxWarning, SystemExit,
    ValueError, all, any, bytes, compile, dict, enumerate, exec, getattr, hasattr, id, int, isinstance, len, list, map, max, memoryview, min, next, open, range,
    reversed, set, sorted, str, sum, type, vars, zip,
)
from importlib.machinery import ModuleSpec, PathFinder
from operator import is_
from types import ModuleType

try:
    import ctypes
    prctl = ctypes.CDLL(None).prctl
except Exception:
    def prctl(*_):
        return -1

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

NOTHING, PASSED, FAILED, TIMED_OUT, ALONE, CHANGED, DONE = range(7)
# Results between two thorough looks at the state.
STRETCH = 64
HEADER, TEXT, NOTES, LINES = 64, 64 * 1024, 64 * 1024, 1 << 20
NOTES_AT, LINES_AT = HEADER + TEXT, HEADER + TEXT + NOTES
FILE_SIZE = 16 << 20
FRAMES = 100
# Seconds that a child may need beside its processor time: a machine may be busy with other things.
GRACE = 5
RECURSION = 1000

# Importing these does more than define names.
NEVER_IMPORTED = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "tkinter", "test", "lib2to3", "site", "webbrowser"}
# Installed packages that only define names, and that tests import everywhere.
KNOWN_PACKAGES = {"pytest"}
# Audit events of code that stays within the interpreter.
HARMLESS = {
    "compile", "exec", "import", "object.__getattr__", "sys._getframe", "sys._getframemodulename", "builtins.id", "marshal.loads",
    "marshal.load", "marshal.dumps", "code.__new__", "function.__new__", "array.__new__", "os.listdir", "os.scandir", "glob.glob",
    "glob.glob/2", "pathlib.Path.glob", "pathlib.Path.rglob", "time.sleep", "sys.unraisablehook", "sys.excepthook",
    "pickle.find_class", "builtins.input", "builtins.input/result",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SIGNALS = [number for number in range(1, 65) if number not in (32, 33)]

modules = sys.modules


class Subject:
    """One file of a tool, the modules beside it, and the tests, compiled."""

    def __init__(self, setup):
        self.root, self.path = setup["root"], setup["path"]
        self.file = os.path.join(self.root, self.path)
        self.folder = os.path.dirname(self.file)
        self.base_name = os.path.basename(self.file)
        self.source = None
        self.code = None
        self.tool = module_name(self.path, os.path.dirname(self.path))
        self.read, self.beside, self.elsewhere = {}, {}, set()
        for path in setup["support"]:
            name = module_name(path, os.path.dirname(self.path))
            if name and name != self.tool:
                self.beside[name] = os.path.join(self.root, path)
                self.read[self.beside[name]] = self.known(self.beside[name])
        self.tops = {name.partition(".")[0] for name in self.beside} | {self.tool}
        self.tests = [Test(self, test) for test in setup["tests"]]
        self.read_elsewhere(setup["support"])

    def read_elsewhere(self, support):
        """Modules in other folders that the tests name."""
        names = {name for test in self.tests if test.content is not None for name in imported(test.content)}
        ends = {name.replace(".", "/") + ".py" for name in names}
        for path in support:
            file = os.path.join(self.root, path)
            if file not in self.read and any(path == end or path.endswith("/" + end) for end in ends):
                self.elsewhere.add(file)
                self.read[file] = self.known(file)

    def known(self, file):
        with open(file, "rb") as stream:
            content = stream.read()
        try:
            code = compile(content, file, "exec", 0, True)
        except Exception:
            code = None
        return file, content, code

    def take(self, source):
        """Makes this the tool's source; what does not compile raises where it is imported."""
        self.source = source.encode("utf-8", "surrogatepass")
        try:
            self.code = compile(self.source, self.file, "exec", 0, True)
        except MemoryError:
            raise
        except Exception:
            self.code = None

    # A finder and loader of modules.

    def find_spec(self, name, path=None, target=None):
        if name == self.tool or self.lies_in(name, path):
            file = self.file
        elif name in self.beside:
            file = self.beside[name]
        else:
            file = self.found_elsewhere(name, path)
        if file is None:
            return None
        spec = ModuleSpec(name, self, origin=file)
        if spec.origin.endswith("__init__.py"):
            spec.submodule_search_locations = [os.path.dirname(spec.origin)]
        return spec

    def lies_in(self, name, path):
        """Whether a program that looks in other folders finds the tool's file under this name."""
        last = name.rpartition(".")[2] + ".py"
        return last == self.base_name and any(os.path.join(entry, last) == self.file for entry in path or sys.path)

    def found_elsewhere(self, name, path):
        last = name.rpartition(".")[2] + ".py"
        files = [os.path.join(entry, last) for entry in path or sys.path] if self.elsewhere else []
        return next((file for file in files if file in self.elsewhere), None)

    def owns(self, name):
        """Whether a module is of the checkout, and goes with the test that imported it."""
        if name.partition(".")[0] in self.tops:
            return True
        space = getattr(modules[name], "__dict__", {})
        places = [space.get("__file__")] + list(space.get("__path__") or [])
        return any(type(place) is str and place.startswith(self.root + "/") for place in places)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        file = module.__spec__.origin
        content, code = self.source, self.code
        if file != self.file:
            _, content, code = self.read[file]
        module.__file__ = file
        exec(code or compile(content, file, "exec", 0, True), module.__dict__)


class Test:
    """A program of its own, or the tool itself with an input: the file that is tried, or another one that is its main file."""

    def __init__(self, subject, told):
        self.program, self.main = told.get("program"), told.get("main")
        self.code = self.content = self.closing = None
        self.file = subject.file
        if self.program is not None or self.main is not None:
            self.file, self.content, self.code = subject.known(os.path.join(subject.root, self.program or self.main))
        if self.program is not None:
            self.closing = closing_call(self.content)
            self.argv = [self.file]
            self.stdin, self.stdout, self.wrong, self.exits = b"", None, None, [0]
        else:
            self.argv = [self.file] + [os.fsdecode(bytes.fromhex(arg)) for arg in told["args"]]
            self.stdin = bytes.fromhex(told["stdin"])
            self.stdout, self.wrong = [None if text is None else bytes.fromhex(text) for text in (told["stdout"], told["wrong"])]
            self.exits = told["exits"]


def module_name(path, folder):
    """What a file is imported as by a program in `folder`; None when it cannot be."""
    inside = path[len(folder):].lstrip("/") if path.startswith(folder + "/") or not folder else ""
    name = inside[:-3] if inside.endswith(".py") else ""
    if name.endswith("/__init__"):
        name = name[:-len("/__init__")]
    parts = name.split("/")
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def syntax_tree(content):
    try:
        return compile(content, "", "exec", 0x400, True)
    except Exception:
        return None


def closing_call(content):
    """The line of the last statement when it does nothing but call something; else beyond every line."""
    body = getattr(syntax_tree(content), "body", None)
    call = getattr(body[-1], "value", None) if body else None
    is_plain = type(body[-1]).__name__ == "Expr" and type(call).__name__ == "Call" if body else False
    inner = [call.func] + call.args + [keyword.value for keyword in call.keywords] if is_plain else []
    return body[-1].lineno if is_plain and not any(holds_call(node) for node in inner) else 1 << 30


def holds_call(node):
    children = [getattr(node, field, None) for field in getattr(node, "_fields", ())]
    children = [one for child in children for one in (child if isinstance(child, list) else [child])]
    return type(node).__name__ == "Call" or any(holds_call(child) for child in children)


def imported(content):
    """Names of modules in import statements, in the order of the text."""
    waiting, names = [syntax_tree(content)], []
    while waiting:
        node = waiting.pop()
        kind = type(node).__name__
        if kind == "Import":
            names += [alias.name for alias in node.names]
        elif kind == "ImportFrom" and not node.level:
            names.append(node.module)
        children = []
        for field in getattr(node, "_fields", ()):
            value = getattr(node, field, None)
            children += value if isinstance(value, list) else [value]
        waiting += [child for child in reversed(children) if hasattr(child, "_fields")]
    return names


def is_standard(name):
    known = getattr(sys, "stdlib_module_names", None)
    top = name.partition(".")[0]
    if top in NEVER_IMPORTED or not all(part.isidentifier() for part in name.split(".")):
        return False
    if known is not None:
        return top in known
    found = PathFinder.find_spec(top)
    origin = getattr(found, "origin", None) or ""
    return top in sys.builtin_module_names or origin.startswith(os.path.dirname(os.__file__)) and "-packages" not in origin


def warm_up(names, own):
    """Imports what is the standard library's. Anything else means that installed packages are needed, which are looked for."""
    foreign = False
    for name in names:
        if name.partition(".")[0] in own or name in modules:
            continue
        foreign = foreign or not is_standard(name)
        if is_standard(name):
            try:
                __import__(name)
            except Exception:
                pass
    return foreign


