# The parent: reads jobs, forks, waits, kills. It never runs a line of the tool. Goes on from `child.py`.

class Parent:
    def __init__(self):
        self.jobs, self.answers = os.dup(0), os.dup(1)
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        self.wake, wake_end = os.pipe()
        for descriptor in (self.wake, wake_end):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.tolerated = set(MOVING)

    def serve(self):
        while True:
            job = self.read()
            if job is None:
                return
            answer = getattr(self, "do_" + job["op"])(job)
            used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            answer["total_cpu"] = sum([usage.ru_utime + usage.ru_stime for usage in used])
            self.write(answer)

    def do_setup(self, job):
        self.subject = Subject(job)
        names = imported(job["source"].encode("utf-8", "surrogatepass"))
        for _, content, _ in self.subject.read.values():
            names += imported(content)
        for test in self.subject.tests:
            if test.content is not None:
                names += imported(test.content)
        if warm_up(names, self.subject.tops):
            try:
                site.main()
                for name in sorted(KNOWN_PACKAGES.intersection(names) - self.subject.tops):
                    __import__(name)
            except Exception:
                pass
        if "random" in modules:
            modules["random"].seed(0)
        gc.collect()
        gc.freeze()
        return {"version": list(sys.version_info[:3])}

    def do_triage(self, job):
        memory = mmap.mmap(-1, HEADER + 4 * (len(job["sources"]) + 1))
        triage = Triage(self.subject, memory, job, self.tolerated)
        longest = max(job["limits"][number] for number in job["order"]) * 5 + GRACE
        killed, status, _ = self.watch(triage.child, lambda: bytes(memory[:]), longest)
        done, believed = struct.unpack_from("<II", memory, 0)
        results = [struct.unpack_from("<BxH", memory, HEADER + at * 4) for at in range(done)]
        reason, at = memory[8], struct.unpack_from("<BxH", memory, HEADER + done * 4)[1]
        if reason == NOTHING:
            late = killed or os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGVTALRM
            reason = TIMED_OUT if late else ALONE
        return {"results": results, "believed": believed, "reason": reason, "test": at}

    def do_run(self, job):
        memory = mmap.mmap(-1, LINES_AT + (LINES if job["trace"] else 0))
        single = Single(self.subject, memory, job)
        killed, status, usage = self.watch(single.child, None, job["limit"] * 5 + GRACE)
        late = killed or memory[0] == TIMED_OUT or os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGVTALRM
        text, notes = struct.unpack_from("<II", memory, 4)
        said = whole_tail(single.errors, TEXT) + bytes(memory[HEADER:HEADER + min(text, TEXT)])
        same = single.inputs.agrees(single.test)
        for descriptor in (single.errors, single.inputs.stdin, single.inputs.stdout):
            os.close(descriptor)
        if job["trace"]:
            self.learn(bytes(memory[NOTES_AT:NOTES_AT + min(notes, NOTES)]))
        return {
            "ended": memory[0] != NOTHING, "passed": memory[0] == PASSED and expected(single.test, status), "late": late, "same": same,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "said": said.decode("utf-8", "replace"), "cpu": struct.unpack_from("<d", memory, 16)[0] or usage.ru_utime + usage.ru_stime,
            "lines": lines_of(memory) if job["trace"] else [],
        }

    def learn(self, notes):
        try:
            fresh, changed = json.loads(notes or b"[[], []]")
        except ValueError:
            return
        self.tolerated.update(name for name in changed if isinstance(name, str))
        warm_up([name for name in fresh if isinstance(name, str) and is_standard(name)], self.subject.tops)
        gc.freeze()

    def watch(self, child, progress, patience):
        """Forks, waits for the end, and kills what makes no progress: whether it was killed, its status, what it used."""
        pid = os.fork()
        if pid == 0:
            try:
                child()
            finally:
                os._exit(70)
        seen, until, killed = None, time.monotonic() + patience, False
        while True:
            left = until - time.monotonic()
            ready, _, _ = select.select([self.jobs, self.wake], [], [], max(left, 0))
            if self.wake in ready:
                drain(self.wake)
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                break
            if self.jobs in ready:
                # Nobody speaks while a job is done: it is the end.
                sweep(pid)
                os._exit(0)
            if left <= 0:
                now = progress and progress()
                if progress and now != seen:
                    seen, until = now, time.monotonic() + patience
                    continue
                os.kill(pid, signal.SIGKILL)
                killed, until = True, time.monotonic() + patience
        sweep(pid)
        return killed, status, usage

    def read(self):
        head = exactly(self.jobs, 4)
        return head and json.loads(exactly(self.jobs, struct.unpack(">I", head)[0]) or b"null")

    def write(self, answer):
        text = json.dumps(answer).encode()
        left = memoryview(struct.pack(">I", len(text)) + text)
        while left:
            left = left[os.write(self.answers, left):]


def expected(test, status):
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) in test.exits


def lines_of(memory):
    lines, at = [], LINES_AT
    while True:
        at = memory.find(b"\x01", at)
        if at < 0:
            return lines
        lines.append(at - LINES_AT)
        at += 1


def whole_tail(descriptor, most):
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, most, max(0, size - most))


def drain(descriptor):
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def exactly(descriptor, size):
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def sweep(group):
    """Ends everything that a child left behind: its group, and what left the group and came to us."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
    for _ in range(10000):
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            with open("/proc/self/task/%d/children" % os.getpid()) as stream:
                children = [int(word) for word in stream.read().split()]
            for child in children:
                os.kill(child, signal.SIGKILL)
            if not children:
                return
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
        except OSError:
            continue


try:
    import site
    # What `exit` and `help` are to people who never heard of the module.
    site.setquit()
    site.sethelper()
except Exception:
    pass

# A source that compiles with a warning would show its lines, which is the tool's file.
warnings.simplefilter("ignore", SyntaxWarning)
# Without a first entry for the current folder: a child puts the tool's folder there.
sys.path[:] = [entry for entry in sys.path if entry]
own_module, modules["__main__"] = modules["__main__"], main_module
Parent().serve()
