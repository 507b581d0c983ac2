# What a forked child does: many sources with one look at the state after each, or one test. Goes on from `state.py`.

main_module = ModuleType("__main__")


def enter(subject, stdin, stdout, stderr):
    """Makes a forked child into what a new interpreter is: no descriptors but three, a group of its own, no handlers of ours."""
    os.setpgid(0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDWR)
    kept = [null if descriptor is None else descriptor for descriptor in (stdin, stdout, stderr)]
    kept = [os.dup(descriptor) if descriptor < 3 else descriptor for descriptor in kept]
    for number, descriptor in enumerate(kept):
        os.dup2(descriptor, number)
    os.closerange(3, 1024)
    open_streams()
    sys.path.insert(0, subject.folder)
    sys.meta_path.insert(0, subject)
    for name in list(modules):
        if name.partition(".")[0] in subject.tops and name not in ("sys", "builtins"):
            del modules[name]
    modules["__main__"] = main_module
    os.chdir(subject.root)
    # Our own frames are not the tool's: it has as many as in an interpreter of its own.
    sys.setrecursionlimit(RECURSION + 8)


def open_streams():
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def ended_by_tool(error, subject, test):
    """Whether the tool ended the program where the test had more to say. A last `tool.main()` has not."""
    step, steps = error.__traceback__, []
    while step is not None:
        steps.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    files = [file for file, _ in steps]
    if subject.file not in files:
        return False
    at = files.index(test.file) if test.file in files else 0
    return steps[at][1] < test.closing or files[at + 1:at + 2] != [subject.file]


def exit_code(error):
    code = error.code
    if code is None:
        return 0
    return code & 0xff if isinstance(code, int) else 1


def execute(subject, test):
    """One test in a fresh namespace: what came of it, and the exception when it did not pass."""
    module = ModuleType("__main__")
    space = module.__dict__
    space["__file__"], space["__builtins__"] = test.file, builtins
    modules["__main__"] = module
    sys.argv = list(test.argv)
    if test.content is None:
        code, content = subject.code, subject.source
    else:
        code, content = test.code, test.content
    try:
        exec(code or compile(content, test.file, "exec", 0, True), space)
    except SystemExit as error:
        if exit_code(error) not in test.exits or test.program is not None and ended_by_tool(error, subject, test):
            return FAILED, error
        return PASSED, error
    except MemoryError as error:
        return ALONE, error
    except BaseException as error:
        return FAILED, error
    return PASSED if 0 in test.exits else FAILED, None


class Input:
    """Standard input and output of tests that run the tool itself."""

    def __init__(self):
        self.stdin, self.stdout = memory_file(), memory_file()

    def give(self, test):
        os.lseek(self.stdin, 0, 0)
        os.ftruncate(self.stdin, 0)
        os.write(self.stdin, test.stdin)
        os.lseek(self.stdin, 0, 0)
        os.ftruncate(self.stdout, 0)
        os.lseek(self.stdout, 0, 0)

    def agrees(self, test):
        if test.wrong is not None and whole(self.stdout, len(test.wrong) + 1) == test.wrong:
            return False
        return test.stdout is None or whole(self.stdout, len(test.stdout) + 1) == test.stdout


def memory_file():
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fractal")
    import tempfile
    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())


def whole(descriptor, most):
    parts, size = [], 0
    while size < most:
        part = os.pread(descriptor, most - size, size)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


class Triage:
    """Many sources in one child."""

    def __init__(self, subject, memory, job, tolerated):
        self.subject, self.memory, self.order, self.limits = subject, memory, job["order"], job["limits"]
        self.sources, self.pid, self.done, self.running = job["sources"], os.getpid(), 0, False
        self.has_input = any_input(subject, self.order)
        self.tolerated = tolerated

    def child(self):
        inputs = Input() if self.has_input else None
        enter(self.subject, inputs and inputs.stdin, inputs and inputs.stdout, None)
        self.pid = os.getpid()
        signal.signal(signal.SIGPROF, self.time_is_over)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        self.inputs = StandardInput() if inputs else None
        self.state = State(self.subject, self.tolerated)
        sys.addaudithook(self.audit)
        for source in self.sources:
            self.put(NOTHING, self.order[0])
            verdict, test = self.one(source)
            if verdict == ALONE:
                self.end(ALONE, test)
            if not self.state.is_same():
                self.end(CHANGED, test)
            self.put(verdict, test)
            self.done += 1
            struct.pack_into("<I", self.memory, 0, self.done)
            if self.done % STRETCH == 0:
                self.look()
        self.end(DONE, 0)

    def one(self, source):
        state, subject, memory, at = self.state, self.subject, self.memory, HEADER + self.done * 4
        try:
            subject.take(source)
        except MemoryError:
            return ALONE, self.order[0]
        for number in self.order:
            test = subject.tests[number]
            struct.pack_into("<BxH", memory, at, NOTHING, number)
            limit = self.limits[number]
            if self.inputs:
                self.inputs.give(test)
                open_streams()
            self.running = True
            signal.setitimer(signal.ITIMER_VIRTUAL, limit * 4)
            signal.setitimer(signal.ITIMER_PROF, limit, limit)
            verdict, _ = execute(subject, test)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self.running = False
            if self.inputs:
                verdict = self.heard(test, verdict)
            state.restore()
            if verdict != PASSED:
                return verdict, number
        return PASSED, 0

    def heard(self, test, verdict):
        """What the tool printed; the streams are the state's again."""
        for stream in (sys.stdout, sys.__stdout__):
            try:
                stream.flush()
            except Exception:
                verdict = FAILED
        same = self.inputs.agrees(test)
        sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__, _ = self.state.streams
        return FAILED if verdict == PASSED and not same else verdict

    def put(self, verdict, test):
        """Notes a verdict; it is one when `done` is beyond it."""
        struct.pack_into("<BxH", self.memory, HEADER + self.done * 4, verdict, test)

    def look(self):
        gc.collect()
        if not self.state.is_same_throughout():
            self.finish(DONE)
        struct.pack_into("<I", self.memory, 4, self.done)

    def end(self, reason, test):
        """Ends the child, saying why, and whether what it found before can be believed."""
        if os.getpid() != self.pid:
            os._exit(1)
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.running = False
        if reason != DONE:
            self.put(reason, test)
        if reason != CHANGED:
            self.state.restore()
            if self.inputs:
                sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__, _ = self.state.streams
            if self.state.is_same_throughout():
                struct.pack_into("<I", self.memory, 4, self.done)
        self.finish(reason)

    def finish(self, reason):
        self.memory[8] = reason
        os._exit(0)

    def time_is_over(self, _number, _frame):
        self.end(TIMED_OUT, struct.unpack_from("<BxH", self.memory, HEADER + self.done * 4)[1])

    def audit(self, event, args):
        if not self.running or event in HARMLESS:
            return
        if event == "open":
            path, _, flags = args
            if type(path) is str and not flags & WRITING and path.rpartition("/")[2] != self.subject.base_name:
                return
        elif event == "object.__setattr__" and args[1] in ("__defaults__", "__kwdefaults__"):
            return
        self.end(ALONE, struct.unpack_from("<BxH", self.memory, HEADER + self.done * 4)[1])


class StandardInput(Input):
    """The child's own descriptors 0 and 1."""

    def __init__(self):
        self.stdin, self.stdout = 0, 1


def any_input(subject, order):
    return any(subject.tests[number].program is None for number in order)


class Single:
    """One test on one source."""

    def __init__(self, subject, memory, job):
        self.subject, self.memory, self.job = subject, memory, job
        self.test = subject.tests[job["test"]]
        self.pid = 0
        self.inputs = Input()
        self.inputs.give(self.test)
        self.errors = memory_file()

    def child(self):
        is_program = self.test.program is not None
        stdin, stdout = (None, None) if is_program else (self.inputs.stdin, self.inputs.stdout)
        enter(self.subject, stdin, stdout, self.errors)
        self.pid = os.getpid()
        state = State(self.subject, set()) if self.job["trace"] else None
        signal.signal(signal.SIGPROF, self.time_is_over)
        limit = self.job["limit"]
        signal.setitimer(signal.ITIMER_VIRTUAL, limit * 4)
        signal.setitimer(signal.ITIMER_PROF, limit, limit)
        self.subject.take(self.job["source"])
        if self.job["trace"]:
            self.trace()
        before = time.process_time()
        verdict, error = execute(self.subject, self.test)
        struct.pack_into("<d", self.memory, 16, time.process_time() - before)
        if error is not None:
            self.say(told(error))
        at_exit()
        if self.job["trace"]:
            self.notes(state)
        code = exit_code(error) if isinstance(error, SystemExit) else 0 if error is None else 1
        if verdict != PASSED:
            code = code or 1
        self.leave(PASSED if verdict == PASSED else FAILED, code)

    def say(self, text):
        text = text.encode("utf-8", "replace")[-TEXT:]
        self.memory[HEADER:HEADER + len(text)] = text
        struct.pack_into("<I", self.memory, 4, len(text))

    def leave(self, status, code):
        # A forked child of the tool that comes here is not the one that was asked.
        if os.getpid() == self.pid:
            self.memory[0] = status
        os._exit(code)

    def time_is_over(self, _number, frame):
        places = []
        while frame is not None and len(places) < FRAMES:
            code = frame.f_code
            places.append((code.co_filename, frame.f_lineno, code.co_name))
            frame = frame.f_back
        self.say(traceback_text(places[::-1], "TimeoutError: the time limit of the test"))
        self.leave(TIMED_OUT, 1)

    def trace(self):
        memory, file = self.memory, self.subject.file
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            disable = monitoring.DISABLE

            def ran(code, line):
                if code.co_filename == file and line < LINES:
                    memory[LINES_AT + line] = 1
                return disable

            monitoring.use_tool_id(monitoring.COVERAGE_ID, "fractal")
            monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, ran)
            monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
            return

        def inside(frame, event, _):
            if event == "line" and frame.f_lineno < LINES:
                memory[LINES_AT + frame.f_lineno] = 1
            return inside

        def entered(frame, _event, _):
            return inside if frame.f_code.co_filename == file else None

        sys.settrace(entered)

    def notes(self, state):
        """What a run of this tool changes in the standard library, so that it is no sign of a leak."""
        sys.settrace(None)
        fresh = [name for name in list(modules)[len(state.modules):] if type(name) is str and is_standard(name)]
        state.restore()
        changed = sorted(state.changes())
        text = json.dumps([fresh[:200], changed[:400]]).encode()
        if len(text) < NOTES:
            self.memory[NOTES_AT:NOTES_AT + len(text)] = text
            struct.pack_into("<I", self.memory, 8, len(text))


def at_exit():
    """What an interpreter does before it ends."""
    threading = modules.get("threading")
    try:
        if _thread._count() and threading is not None:
            threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException:
        pass
    for stream in (sys.stdout, sys.__stdout__, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


def told(error):
    """An exception as the interpreter prints it, without lines of source."""
    places, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename != "<string>":
            places = places[-FRAMES:] + [(code.co_filename, step.tb_lineno, code.co_name)]
        step = step.tb_next
    if isinstance(error, SystemExit):
        return "" if error.code is None or isinstance(error.code, int) else safely(error.code) + "\n"
    if isinstance(error, SyntaxError) and type(error.filename) is str and type(error.lineno) is int:
        places.append((error.filename, error.lineno, None))
    message = safely(error)
    return traceback_text(places, type(error).__name__ + (": " + message if message else ""))


def traceback_text(places, last):
    rows = ["Traceback (most recent call last):"]
    for file, line, name in places:
        if file != "<string>":
            rows.append('  File "%s", line %d%s' % (file, line or 0, ", in " + name if name else ""))
    return "\n".join(rows) + "\n" + last + "\n"


def safely(value):
    try:
        return str(value)
    except BaseException:
        return "<cannot be shown>"


