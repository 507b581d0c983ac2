# The state of the interpreter, and whether a test left it as it was. Goes on from `subject.py`.

class State:
    """What the tests of one source must leave as they found it."""

    def __init__(self, subject, tolerated):
        self.subject = subject
        # Chance is the same for every source, as it is in children that were forked from one parent.
        chance = modules.get("random")
        self.reseed, self.seed = (chance.setstate, chance.getstate()) if chance else (None, None)
        self.names = vars(builtins)
        self.builtins = list(self.names.values())
        self.modules = list(modules.values())
        self.path, self.argv = list(sys.path), sys.argv
        self.streams = streams()
        self.cwd = os.getcwd()
        self.hooks = atexit._ncallbacks()
        self.limit = sys.getrecursionlimit()
        self.free = lowest_descriptor()
        self.handler = signal.getsignal(signal.SIGPROF)
        self.tolerated = tolerated
        self.spaces = spaces()
        self.values = [(space, list(space.values())) for _, space in self.spaces]
        self.odds = odds()

    def restore(self):
        """Removes the modules of the last test; what else is there stays, to be found."""
        if len(modules) > len(self.modules):
            for name in list(modules)[len(self.modules):]:
                if self.subject.owns(name):
                    vars(modules.pop(name)).clear()
        if self.reseed:
            self.reseed(self.seed)
        sys.argv = self.argv
        if modules.get("__main__") is not main_module:
            space = getattr(modules.get("__main__"), "__dict__", None)
            modules["__main__"] = main_module
            if type(space) is dict:
                space.clear()

    def is_same(self):
        """A quick look, after every source."""
        return (
            len(self.names) == len(self.builtins) and all(map(is_, self.names.values(), self.builtins))
            and len(modules) == len(self.modules) and all(map(is_, modules.values(), self.modules))
            and sys.path == self.path and all(map(is_, streams(), self.streams)) and _thread._count() == 0
            and sys.getrecursionlimit() == self.limit and atexit._ncallbacks() == self.hooks
            and signal.getsignal(signal.SIGPROF) is self.handler and sys.gettrace() is None and sys.getprofile() is None
            and lowest_descriptor() == self.free and os.getcwd() == self.cwd
        )

    def is_same_throughout(self):
        """A thorough look, after a stretch."""
        if not self.is_same() or odds() != self.odds:
            return False
        for space, values in self.values:
            if len(space) != len(values) or not all(map(is_, space.values(), values)):
                if self.changes() - self.tolerated:
                    return False
                break
        return True

    def changes(self):
        """Names in modules and classes that are not what they were."""
        changed = set()
        for (name, space), (_, values) in zip(self.spaces, self.values):
            now = list(space.items())
            before = {id(value) for value in values}
            changed |= {name + ":" + str(key) for key, value in now if id(value) not in before}
            if len(now) < len(values):
                changed.add(name + ":")
        return changed


def streams():
    return (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__, sys.meta_path[0])


def lowest_descriptor():
    try:
        free = os.dup(0)
    except OSError:
        return -1
    os.close(free)
    return free


# Names that the interpreter itself, or we, set all the time.
MOVING = {"sys:last_exc", "sys:last_type", "sys:last_value", "sys:last_traceback", "warnings:_filters_version"}


def spaces():
    """The namespaces of all modules, and of the classes in them, with their names."""
    found, seen = [], set()
    for name, module in list(modules.items()):
        space = getattr(module, "__dict__", None)
        if type(space) is not dict or module is main_module or name == "__main__":
            continue
        found.append((name, space))
        for value in list(space.values()):
            # A class of the C library cannot be changed.
            if isinstance(value, type) and value.__flags__ & (1 << 9) and not value.__flags__ & (1 << 8) and value not in seen:
                seen.add(value)
                found.append((name + "." + value.__name__, vars(value)))
    return found


def odds():
    """State that is in no namespace."""
    mask = os.umask(0o22)
    os.umask(mask)
    descriptors = []
    for number in range(4):
        try:
            known = os.fstat(number)
            descriptors.append((known.st_dev, known.st_ino))
        except OSError:
            descriptors.append(None)
    decimal = modules.get("decimal")
    return [
        mask, descriptors, [signal.getsignal(number) for number in SIGNALS], dict(os.environ), gc.isenabled(), gc.get_threshold(),
        sys.getswitchinterval(), signal.getitimer(signal.ITIMER_REAL), list(map(id, sys.meta_path)), list(map(id, sys.path_hooks)),
        getattr(sys, "get_int_max_str_digits", int)(), str(decimal.getcontext()) if decimal else None,
        list(warnings.filters), list(map(resource.getrlimit, (resource.RLIMIT_AS, resource.RLIMIT_NOFILE))),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    ]


