"""Attacks on whatever runs this: `escape.py ATTACK JSON`, where the JSON tells of decoys outside. Says ESCAPED, or STOPPED and why.

Without a sandbox each of them escapes; `tests/it/escape.rs` sees to both. Nothing here harms anything but the decoys.
"""
import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time

attack, outside = sys.argv[1], json.loads(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
folder, key, pid = outside["folder"], outside["key"], outside["pid"]
SECRET = outside["secret"].encode()


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path):
    with open(path, "rb") as file:
        return SECRET in file.read()


def write(path, flags=os.O_WRONLY | os.O_CREAT):
    descriptor = os.open(path, flags, 0o600)
    os.write(descriptor, b"changed")
    os.close(descriptor)
    return True


# ---- files ----

def read_ssh_key():
    return read(key)


def read_git_directory():
    return read(folder + "/repo/.git/config")


def read_store():
    return read(folder + "/repo/.git/fractal/executions.db")


def read_other_run():
    return read(outside["other_run"] + "/test.py")


def list_home():
    return ".ssh" in os.listdir(folder)


def create_file():
    return write(folder + "/created")


def change_file():
    return write(folder + "/victim", os.O_WRONLY)


def truncate_file():
    os.truncate(folder + "/victim", 0)
    return True


def remove_file():
    os.unlink(folder + "/victim")
    return True


def rename_file():
    os.rename(folder + "/victim", folder + "/renamed")
    return True


def take_file():
    os.rename(folder + "/victim", "taken")
    return True


def change_mode():
    os.chmod(folder + "/victim", 0o777)
    return True


def change_times():
    os.utime(folder + "/victim", (1, 1))
    return True


def change_attribute():
    os.setxattr(folder + "/victim", "user.mark", b"x")
    return True


def change_owner():
    os.chown(folder + "/victim", os.getuid(), os.getgid())
    before = os.stat(folder + "/victim").st_ctime_ns
    time.sleep(0.02)
    os.chown(folder + "/victim", os.getuid(), os.getgid())
    return os.stat(folder + "/victim").st_ctime_ns != before


def change_system_file():
    # The program itself, by a descriptor that may be read.
    descriptor = os.open(folder + "/victim" if outside["free"] else os.path.realpath(sys.executable), os.O_RDONLY)
    os.fchmod(descriptor, os.fstat(descriptor).st_mode)
    return True


def write_hook():
    return write(folder + "/repo/.git/hooks/post-commit")


def write_store():
    return write(folder + "/repo/.git/fractal/executions.db", os.O_WRONLY)


def change_grader():
    return write(outside["other_run"] + "/test.py", os.O_WRONLY)


def read_by_symlink():
    os.symlink(key, "link")
    return read("link")


def read_by_hard_link():
    # Within one file system, which the copy makes sure of.
    os.link(key, "hard" if not outside["free"] else folder + "/hard")
    return read("hard" if not outside["free"] else folder + "/hard")


def mode_by_symlink_race():
    os.mkdir("own")
    open("own/victim", "w").close()
    os.symlink("own", "flip")
    stop = []

    def flip():
        while not stop:
            for target in (folder, "own"):
                os.symlink(target, "next")
                os.rename("next", "flip")

    thread = threading.Thread(target=flip)
    thread.start()
    end = time.monotonic() + 0.7
    while time.monotonic() < end and os.stat(folder + "/victim").st_mode & 0o777 != 0o757:
        try:
            os.chmod("flip/victim", 0o757)
        except OSError:
            pass
    stop.append(True)
    thread.join()
    return os.stat(folder + "/victim").st_mode & 0o777 == 0o757


def own_root_of_proc():
    return read("/proc/self/root" + key)


def root_of_others():
    return any(tried(lambda: read("/proc/%d/root%s" % (other, key))) for other in others())


def cwd_of_others():
    return any(tried(lambda: read("/proc/%d/cwd/.ssh/id" % other)) for other in others())


def kernel_settings():
    file = "/proc/sys/kernel/core_pattern"
    with open(file) as old:
        pattern = old.read()
    with open(file, "w") as new:
        new.write(pattern)
    return True


# ---- secrets of processes ----

def tried(attempt):
    try:
        return attempt()
    except OSError:
        return False


def others():
    return sorted({pid, os.getppid(), 1} | {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()})


def environment_of_others():
    return any(tried(lambda: read("/proc/%d/environ" % other)) for other in others())


def own_environment():
    return SECRET.decode() in str(os.environ)


def command_lines():
    return any(tried(lambda: read("/proc/%d/cmdline" % other)) for other in others())


def memory_by_proc():
    with open("/proc/%d/mem" % pid, "rb"):
        return True


def memory_of_parent():
    target = pid if outside["free"] else os.getppid()
    with open("/proc/%d/maps" % target) as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open("/proc/%d/mem" % target, "rb") as memory:
        memory.seek(start)
        return len(memory.read(16)) == 16


def memory_by_call():
    with open("/proc/%d/maps" % (pid if outside["free"] else os.getppid())) as maps:
        start = int(maps.readline().split("-")[0], 16)
    return vm_read(start)


def vm_read(start):
    buffer = ctypes.create_string_buffer(16)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 16)
    remote = (ctypes.c_void_p * 2)(start, 16)
    return checked(libc.process_vm_readv(pid, local, 1, remote, 1, 0)) == 16


def trace():
    checked(libc.ptrace(16, pid, 0, 0))
    os.waitpid(pid, 0x40000000)
    checked(libc.ptrace(17, pid, 0, 0))
    return True


# ---- other processes ----

def terminate():
    os.kill(pid, signal.SIGUSR1)
    return True


def terminate_thread():
    checked(libc.syscall(200 if os.uname().machine == "x86_64" else 130, pid, int(signal.SIGUSR1)))
    return True


def terminate_group():
    os.killpg(os.getpgid(pid), signal.SIGUSR1)
    return True


def signal_by_descriptor():
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGUSR1)
    return True


def limit_other():
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    return True


def starve_other():
    os.setpriority(os.PRIO_PROCESS, pid, 5)
    return True


# ---- network ----

def tcp():
    with socket.create_connection(("127.0.0.1", outside["tcp"]), 2) as connection:
        return connection.recv(100).startswith(SECRET)


def tcp_serve():
    server = socket.create_server(("127.0.0.1", outside["free_port"]))
    server.settimeout(2)
    # Somebody outside tries to come in all the time.
    return server.accept()[0] is not None


def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(1)
        out.sendto(b"hello", ("127.0.0.1", outside["udp"]))
        return out.recv(100).startswith(SECRET)


def unix_socket():
    with socket.socket(socket.AF_UNIX) as out:
        out.settimeout(2)
        out.connect(folder + "/socket")
        return out.recv(100).startswith(SECRET)


def abstract_socket():
    with socket.socket(socket.AF_UNIX) as out:
        out.settimeout(2)
        out.connect("\0" + outside["abstract"])
        return out.recv(100).startswith(SECRET)


def datagram_from_pair():
    one, _two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"hello", folder + "/datagrams")
    return True


def raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    return True


def netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    return True


# ---- the kernel ----

def call(x86, arm, *arguments):
    return checked(libc.syscall(x86 if os.uname().machine == "x86_64" else arm, *arguments)) >= 0


def user_namespace():
    return call(272, 97, 0x10000000)


def user_namespace_by_clone():
    child = libc.syscall(56 if os.uname().machine == "x86_64" else 220, 0x10000000 | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    checked(child)
    os.waitpid(child, 0)
    return True


def io_uring():
    return call(425, 425, 4, ctypes.create_string_buffer(120))


def keyring():
    return call(250, 219, 0, -3, 1)


def berkeley_filter():
    return call(321, 280, 0, (ctypes.c_uint32 * 32)(1, 4, 8, 1), 128)


def shared_memory_that_stays():
    identity = libc.shmget(0, 4096, 0o1600)
    checked(identity)
    libc.shmctl(identity, 0, None)
    return True


def capabilities():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":\t") for line in status.read().splitlines() if ":\t" in line)
    sets = ["CapBnd"] if outside["free"] else ["CapEff", "CapPrm", "CapInh", "CapAmb"]
    return any(int(lines[one], 16) for one in sets)


# ---- too much ----

def many_processes():
    children = []
    try:
        while len(children) < 150:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
        time.sleep(0.5)
        return True
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def many_threads():
    threads = []
    done = threading.Event()
    threading.stack_size(65536)
    try:
        while len(threads) < 150:
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
        time.sleep(0.5)
        return True
    except RuntimeError as error:
        raise OSError(str(error))
    finally:
        done.set()


def fork_bomb():
    """A hundred generations of processes whose parents are gone."""
    readable, writable = os.pipe()
    for _ in range(200):
        if os.fork() == 0:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            os.write(writable, b"x")
            time.sleep(3 if outside["free"] else 600)
            os._exit(0)
    time.sleep(1)
    os.set_blocking(readable, False)
    return len(os.read(readable, 1000)) == 200


def much_memory():
    big = bytearray(400 << 20)
    return big[len(big) - 1] == 0


def much_memory_in_many():
    children = []
    for _ in range(12):
        child = os.fork()
        if child == 0:
            big = b"x" * (60 << 20)
            time.sleep(1.5)
            os._exit(big[0] - ord("x"))
        children.append(child)
    return all(os.waitpid(child, 0)[1] == 0 for child in children)


def much_memory_without_name():
    files = [os.memfd_create("x") for _ in range(20)]
    for file in files:
        os.write(file, b"x" * (20 << 20))
    time.sleep(0.5)
    return True


def much_disk():
    for number in range(300):
        with open("big-%d" % number, "wb") as file:
            file.write(b"x" * (1 << 20))
            file.flush()
        time.sleep(0.002)
    return True


def much_disk_without_name():
    kept = []
    for number in range(300):
        file = open("big", "wb")
        os.unlink("big")
        file.write(b"x" * (1 << 20))
        file.flush()
        kept.append(file)
        time.sleep(0.002)
    return True


def one_big_file():
    with open("big", "wb") as file:
        file.truncate(1 << 30)
    return True


def much_output():
    for _ in range(100):
        os.write(1, b"x" * (1 << 20))
    return True


def no_end():
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    end = time.monotonic() + 1 if outside["free"] else float("inf")
    while time.monotonic() < end:
        pass
    return True


def stay_behind():
    """A daemon as it is done: two forks, a session of its own."""
    readable, writable = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writable, b"x")
            os.closerange(0, 100)
            time.sleep(2 if outside["free"] else 600)
            os._exit(0)
        os._exit(0)
    os.read(readable, 1)
    # Escaped, if it is seen afterwards.
    return True


def inherited_descriptors():
    for descriptor in range(3, 1024):
        if tried(lambda: os.fstat(descriptor)):
            return True
    raise OSError("none")


def knows_that_it_is_tried():
    signs = [*os.environ, *os.environ.values(), os.getcwd(), sys.argv[0], sys.executable]
    for what in ("comm", "cmdline"):
        signs += [text for text in [tried(lambda: open("/proc/%d/%s" % (os.getppid(), what)).read())] if text]
    return any("fractal" in sign.lower() or "sandbox" in sign.lower() for sign in signs)


try:
    escaped = globals()[attack]()
    sys.stderr.write("ESCAPED\n" if escaped else "STOPPED without an error\n")
except (OSError, MemoryError, ValueError) as error:
    sys.stderr.write("STOPPED %s\n" % (getattr(error, "strerror", None) or str(error) or type(error).__name__))
sys.stderr.flush()
os._exit(0)
