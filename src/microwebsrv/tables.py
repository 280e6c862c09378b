"""Features that MicroPython lacks, as tables for `check`. tests/test_check.py tries each row on MicroPython."""

from __future__ import annotations

# Modules of board firmware; a port may lack some. Each also exists with a u in front.
MODULES = frozenset("""
    _thread aioespnow apa106 array asyncio binascii bluetooth btree builtins cmath collections cryptolib deflate dht
    ds18x20 errno esp esp32 espnow flashbdev framebuf gc hashlib heapq inisetup io json lwip machine math micropython
    mip neopixel network ntptime onewire os platform random re requests rp2 select socket ssl struct sys time tls
    uasyncio uctypes upysh urequests usocket ussl vfs webrepl webrepl_setup websocket zlib
""".split())

# {module of CPython: alternative}. "mip" stands for: mpremote mip install NAME, from micropython-lib.
ABSENT = {
    "__future__": "leave the line out", "abc": "mip", "argparse": "mip", "base64": "mip; or binascii.b2a_base64",
    "bisect": "mip", "calendar": "", "codecs": "bytes.decode()", "concurrent": "_thread or asyncio",
    "configparser": "json", "contextlib": "mip", "contextvars": "", "copy": "mip", "csv": "str.split",
    "ctypes": "uctypes", "dataclasses": "a class with __init__", "datetime": "mip; or time.localtime()",
    "decimal": "int or float", "difflib": "", "email": "", "enum": "const() of micropython", "fnmatch": "mip",
    "fractions": "", "ftplib": "", "functools": "mip", "getpass": "", "glob": "os.listdir", "gzip": "mip; or deflate",
    "hmac": "mip", "html": "mip", "http": "socket", "importlib": "__import__", "inspect": "mip", "ipaddress": "",
    "itertools": "mip", "keyword": "mip", "locale": "", "logging": "mip; or print", "lzma": "deflate",
    "multiprocessing": "_thread", "numbers": "", "operator": "mip", "pathlib": "mip", "pickle": "json",
    "pkgutil": "mip", "pprint": "mip", "queue": "a list", "secrets": "os.urandom", "selectors": "select.poll",
    "shutil": "mip", "signal": "", "smtplib": "", "sqlite3": "btree", "statistics": "", "string": "mip",
    "subprocess": "", "tempfile": "mip", "textwrap": "mip", "threading": "_thread",
    "timeit": "mip; or time.ticks_us()", "tomllib": "json", "traceback": "sys.print_exception", "types": "mip",
    "typing": "quoted annotations, which are never read", "unicodedata": "", "unittest": "mip",
    "urllib": "mip; or requests", "uuid": "mip; or os.urandom", "warnings": "mip", "weakref": "", "xml": "",
    "zipfile": "", "zoneinfo": "",
}

_TICKS = "time.ticks_ms() and time.ticks_diff()"
_NONE = "MicroPython has none"

# {module.name: alternative}
NAMES = {
    "time.perf_counter": "time.ticks_us() and time.ticks_diff()", "time.perf_counter_ns": "time.ticks_us()",
    "time.monotonic": _TICKS, "time.monotonic_ns": _TICKS, "time.process_time": _TICKS, "time.thread_time": _TICKS,
    "time.strftime": "a text made of time.localtime()", "time.strptime": "str.split and int",
    "time.ctime": "a text made of time.localtime()", "time.asctime": "a text made of time.localtime()",
    "time.timezone": "", "time.tzset": "", "time.struct_time": "a tuple of eight",
    "os.path": "os.stat; or mpremote mip install os-path", "os.makedirs": "os.mkdir, one by one",
    "os.walk": "os.ilistdir", "os.environ": "", "os.scandir": "os.ilistdir", "os.access": "os.stat",
    "os.replace": "os.rename", "os.getpid": "", "os.cpu_count": "", "os.linesep": "\"\\n\"",
    "os.name": "sys.platform", "os.removedirs": "os.rmdir", "os.lstat": "os.stat", "os.utime": "",
    "os.fsync": "os.sync", "os.popen": "", "os.chmod": "", "sys.getsizeof": "", "sys.setrecursionlimit": "",
    "sys.getrecursionlimit": "", "sys.intern": "", "sys.flags": "", "sys.excepthook": "", "sys.settrace": "",
    "random.shuffle": "random.randrange in a loop", "random.sample": "random.choice", "random.gauss": "",
    "random.choices": "random.choice", "random.randbytes": "os.urandom", "re.findall": "re.search in a loop",
    "re.finditer": "re.search in a loop", "re.fullmatch": "re.match with a $", "re.split": "re.compile(…).split",
    "re.escape": "", "re.IGNORECASE": "str.lower", "re.I": "str.lower", "re.MULTILINE": "", "re.M": "",
    "re.DOTALL": "", "re.S": "", "re.VERBOSE": "", "re.X": "", "re.subn": "re.sub", "re.error": "ValueError",
    "json.JSONDecodeError": "ValueError", "json.JSONEncoder": "", "json.JSONDecoder": "",
    "asyncio.Queue": "a list and asyncio.Event", "asyncio.to_thread": "_thread",
    "asyncio.timeout": "asyncio.wait_for", "asyncio.TaskGroup": "asyncio.gather", "asyncio.Semaphore": "asyncio.Lock",
    "asyncio.Future": "asyncio.Event", "asyncio.run_coroutine_threadsafe": "asyncio.ThreadSafeFlag",
    "asyncio.get_running_loop": "asyncio.get_event_loop", "asyncio.iscoroutinefunction": "",
    "asyncio.iscoroutine": "", "asyncio.wait": "asyncio.gather", "asyncio.shield": "",
    "asyncio.as_completed": "asyncio.gather", "asyncio.ensure_future": "asyncio.create_task", "asyncio.Condition": "",
    "asyncio.all_tasks": "", "asyncio.Runner": "asyncio.run", "asyncio.Barrier": "", "asyncio.PriorityQueue": "",
    "struct.Struct": "struct.pack", "struct.iter_unpack": "struct.unpack_from", "struct.error": "ValueError",
    "math.prod": "a loop", "math.comb": "", "math.dist": "math.sqrt", "math.hypot": "math.sqrt", "math.gcd": "a loop",
    "math.lcm": "", "math.log1p": "math.log", "math.isqrt": "int(math.sqrt(…))", "math.cbrt": "", "math.fsum": "sum",
    "collections.defaultdict": "dict.setdefault", "collections.Counter": "a dict", "collections.ChainMap": "",
    "collections.abc": "", "collections.UserDict": "dict", "hashlib.new": "hashlib.sha256",
    "hashlib.sha512": "hashlib.sha256", "hashlib.sha384": "hashlib.sha256", "hashlib.sha224": "hashlib.sha256",
    "hashlib.blake2b": "hashlib.sha256", "hashlib.scrypt": "", "hashlib.pbkdf2_hmac": "HashPassword of microWebAuth",
    "binascii.b2a_hex": "binascii.hexlify", "binascii.a2b_hex": "binascii.unhexlify",
    "socket.create_connection": "socket.socket and connect", "socket.create_server": "socket.socket and bind",
    "socket.gethostbyname": "socket.getaddrinfo", "socket.gethostname": "network.hostname()",
    "socket.timeout": "OSError", "socket.gaierror": "OSError", "socket.error": "OSError", "socket.inet_aton": "",
    "gc.get_objects": "", "gc.set_threshold": "gc.threshold", "gc.get_count": "", "gc.get_referrers": "",
    "gc.freeze": "", "io.TextIOWrapper": "open", "io.BufferedReader": "open", "io.RawIOBase": "io.IOBase",
    "io.SEEK_SET": "0", "ssl.create_default_context": "ssl.SSLContext", "ssl.SSLError": "OSError", "heapq.merge": "",
    "heapq.nlargest": "sorted", "heapq.nsmallest": "sorted", "heapq.heapreplace": "heappop, heappush",
    "heapq.heappushpop": "heappush, heappop", "platform.system": "sys.platform",
    "platform.node": "network.hostname()", "platform.machine": "sys.implementation",
    "platform.python_version": "sys.version", "platform.uname": "os.uname()",
}

# Missing built-in names: {name: alternative}.
BUILTINS = {
    **dict.fromkeys(("TimeoutError", "ConnectionError", "FileNotFoundError", "PermissionError", "BlockingIOError",
                     "InterruptedError", "FileExistsError", "IsADirectoryError", "NotADirectoryError",
                     "ProcessLookupError", "BrokenPipeError", "ConnectionResetError", "ConnectionAbortedError",
                     "ConnectionRefusedError", "IOError", "EnvironmentError"), "OSError and its errno"),
    "UnicodeDecodeError": "UnicodeError", "UnicodeEncodeError": "UnicodeError", "RecursionError": "RuntimeError",
    "ModuleNotFoundError": "ImportError", "ExceptionGroup": "", "BaseExceptionGroup": "", "Warning": "",
    "DeprecationWarning": "", "UserWarning": "", "BufferError": "", "FloatingPointError": "ArithmeticError",
    "ReferenceError": "", "SystemError": "RuntimeError", "ascii": "repr", "format": "str.format", "vars": "dir",
    "aiter": "", "anext": "", "breakpoint": "", "exit": "sys.exit", "quit": "sys.exit",
}

# Missing methods of built-in types, then missing attributes: {name: alternative}.
METHODS = {
    "zfill": "\"%03d\" % n", "ljust": "\"%-9s\" % text", "rjust": "\"%9s\" % text", "title": "",
    "capitalize": "upper and slices", "swapcase": "", "casefold": "lower", "removeprefix": "startswith and a slice",
    "removesuffix": "endswith and a slice", "expandtabs": "replace", "translate": "replace", "maketrans": "replace",
    "isalnum": "isalpha and isdigit", "isnumeric": "isdigit", "isdecimal": "isdigit", "isidentifier": "",
    "isprintable": "", "istitle": "", "isascii": "", "format_map": "format", "bit_length": "",
    "bit_count": "bin(n).count(\"1\")", "is_integer": "n == int(n)", "as_integer_ratio": "",
    "hexdigest": "binascii.hexlify(h.digest())", "with_traceback": "", "add_note": "", "tobytes": "bytes(view)",
    "__subclasses__": "",
}

ATTRIBUTES = {
    "strerror": "errno", "__cause__": "", "__context__": "", "__traceback__": "sys.print_exception", "__doc__": "",
    "__annotations__": "", "__qualname__": "__name__", "__mro__": "__bases__",
}

# {(function or method, keyword argument): alternative}. A function is a built-in or module.name; a method begins with a
# dot.
KEYWORDS = {
    ("open", "errors"): "leave it out", ("open", "newline"): "leave it out", ("print", "flush"): "leave it out",
    ("json.dumps", "indent"): "leave it out", ("json.dumps", "sort_keys"): "leave it out",
    ("json.dumps", "ensure_ascii"): "leave it out", ("json.dumps", "default"): "leave it out",
    ("json.loads", "object_hook"): "leave it out", ("int", "base"): "by position",
    ("round", "ndigits"): "by position", ("sum", "start"): "by position", ("zip", "strict"): "leave it out",
    ("bytes", "encoding"): "by position", ("str", "encoding"): "by position", (".split", "sep"): "by position",
    (".split", "maxsplit"): "by position", (".rsplit", "maxsplit"): "by position",
    (".encode", "encoding"): "by position", (".decode", "encoding"): "by position",
    (".decode", "errors"): "leave it out", (".replace", "count"): "by position",
    ("int.from_bytes", "byteorder"): "by position", ("int.from_bytes", "signed"): "leave it out; subtract 1 << bits",
}

# Parts of regular expressions: (pattern that finds it, its description, True if it never matches without an error).
REGEX = (
    (r"\(\?P<", "a named group: use its number", False),
    (r"\(\?[=!]", "a look-ahead", False),
    (r"\(\?<[=!]", "a look-behind", False),
    (r"\(\?[aiLmsux]+[):]", "a flag", False),
    (r"\(\?#", "a comment", False),
    (r"(?<!\\)\{\d+(,\d*)?\}", "a count in braces", True),
    (r"(?<!\\)(\\\\)*\\[bBAZ]", "\\b, \\B, \\A or \\Z", True),
    (r"(?<!\\)(\\\\)*\\[1-9]", "a reference to a group", True),
    (r"(?<!\\)(\\\\)*\\x[0-9a-fA-F]{2}", "\\x: write the character", True),
)

# Free heap of the boards without PSRAM, in KB: the lower published figures, as in tools/board_heaps.json.
BOARDS = {
    "ESP8266": 29, "ESP32": 104, "ESP32-C3": 124, "ESP32-S2": 70, "ESP32-S3": 124, "ESP32-C6": 124, "Pico W": 176,
    "Pico 2 W": 400,
}
