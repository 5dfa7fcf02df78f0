"""Runs a command on a terminal of its own: pty.py COLUMNS ROWS COMMAND...

What the command writes goes to standard output. Lines of standard input say what happens to the terminal:
`resize COLUMNS ROWS`, `type HEX`, and `hangup`, which closes it. When the command has ended, its exit code, or minus
the number of the signal that ended it, is the last line of standard error.
"""
import fcntl, os, select, signal, struct, sys, termios

columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
master, slave = os.openpty()
size = lambda columns, rows: fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
size(columns, rows)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 256)
    os.execvp(command[0], command)
# The other end stays open here, so that what was written last is not lost with it.
ended, watched, typed = None, [master, 0], b""
while ended is None or select.select([master] if master in watched else [], [], [], 0)[0]:
    for fd in select.select(watched, [], [], 0.02)[0]:
        data = os.read(fd, 65536)
        if fd == master:
            os.write(1, data)
        elif data == b"":
            watched.remove(0)
        else:
            typed += data
            *lines, typed = typed.split(b"\n")
            for line in lines:
                word, *rest = line.decode().split(" ")
                if word == "resize":
                    size(int(rest[0]), int(rest[1]))
                elif word == "type":
                    os.write(master, bytes.fromhex(rest[0]))
                elif word == "hangup":
                    watched.remove(master)
                    os.close(slave)
                    os.close(master)
    if ended is None:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
os.write(2, b"%d\n" % ended)
