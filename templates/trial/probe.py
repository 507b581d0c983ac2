# What calls of the tool's functions answer, a line each. The calls come before this text, in `fractal_calls`.

def fractal_probe():
    import builtins
    import itertools
    import os
    import signal
    import sys
    import types

    class Late(BaseException):
        pass

    def late(*_):
        raise Late()

    def answer(call):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.1)
        try:
            value = call()
            if isinstance(value, types.GeneratorType):
                value = list(itertools.islice(value, 1000))
            return "= " + repr(value)[:1000]
        except Late:
            return "late"
        except BaseException as error:
            return "! " + type(error).__name__
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    told = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr = open(os.devnull, "w")
    signal.signal(signal.SIGVTALRM, late)
    for call in fractal_calls:
        told.write(answer(call).replace("\n", " ") + "\n")
        told.flush()
    os._exit(0)


fractal_probe()
