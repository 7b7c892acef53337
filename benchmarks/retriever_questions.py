"""Questions a programmer would ask of the Python standard library, and the names that answer them.

Written by us in plain words, most of them without the name of the answer; a few are the identifier itself,
because people paste those too. Several names are right where the library has several.
"""

QUESTIONS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (question, frozenset(names.split()))
    for question, names in (
        ("copy a whole directory tree", "shutil.copytree"),
        ("delete a directory and everything in it", "shutil.rmtree"),
        ("move a file to another folder", "shutil.move os.rename os.replace"),
        ("how much free disk space is left", "shutil.disk_usage"),
        ("find the full path of an executable", "shutil.which"),
        ("go through all files below a directory", "os.walk os.scandir pathlib.Path.rglob"),
        (
            "create a temporary file that is deleted afterwards",
            "tempfile.NamedTemporaryFile tempfile.TemporaryFile",
        ),
        ("make a temporary directory", "tempfile.mkdtemp tempfile.TemporaryDirectory"),
        ("parse a JSON string", "json.loads"),
        ("write an object as JSON to a file", "json.dump"),
        (
            "parse command line arguments",
            "argparse.ArgumentParser argparse.ArgumentParser.parse_args",
        ),
        (
            "run an external command and capture its output",
            "subprocess.run subprocess.check_output",
        ),
        ("split a shell command line into words", "shlex.split"),
        ("quote a string for the shell", "shlex.quote"),
        (
            "keep a list sorted while inserting",
            "bisect.insort bisect.insort_right bisect.insort_left",
        ),
        ("the n smallest elements of an iterable", "heapq.nsmallest"),
        ("merge several sorted iterables", "heapq.merge"),
        ("count how often each element occurs", "collections.Counter"),
        ("dictionary with a default value for missing keys", "collections.defaultdict"),
        ("double ended queue", "collections.deque"),
        ("cache the results of a function", "functools.lru_cache functools.cache"),
        ("apply a function cumulatively to reduce a list to one value", "functools.reduce"),
        ("preserve the name and docstring of a decorated function", "functools.wraps"),
        ("cartesian product of several lists", "itertools.product"),
        ("all combinations of k elements", "itertools.combinations"),
        ("group consecutive equal elements", "itertools.groupby"),
        ("chain several iterables one after another", "itertools.chain"),
        ("shuffle a list in place", "random.shuffle random.Random.shuffle"),
        (
            "generate a cryptographically secure token",
            "secrets.token_hex secrets.token_urlsafe secrets.token_bytes",
        ),
        ("compute the sha256 hash of a file", "hashlib.file_digest hashlib.sha256"),
        ("encode bytes as base64", "base64.b64encode"),
        ("compress data with gzip", "gzip.compress"),
        ("extract a zip archive", "zipfile.ZipFile.extractall shutil.unpack_archive"),
        ("open a tar file", "tarfile.open tarfile.TarFile.open"),
        ("replace all matches of a regular expression", "re.sub re.Pattern.sub"),
        ("escape special characters in a regular expression", "re.escape"),
        ("wrap long lines of text at a width", "textwrap.wrap textwrap.fill"),
        ("remove common leading whitespace", "textwrap.dedent"),
        ("find close matches of a misspelled word", "difflib.get_close_matches"),
        (
            "show the differences between two texts",
            "difflib.unified_diff difflib.ndiff difflib.context_diff",
        ),
        (
            "parse a date from a string in a given format",
            "datetime.datetime.strptime time.strptime",
        ),
        (
            "current time in UTC",
            "datetime.datetime.now datetime.datetime.utcnow time.gmtime time.time",
        ),
        (
            "measure elapsed time with high resolution",
            "time.perf_counter time.perf_counter_ns timeit.default_timer",
        ),
        ("arithmetic mean of numbers", "statistics.mean statistics.fmean"),
        ("greatest common divisor", "math.gcd"),
        ("exact decimal arithmetic", "decimal.Decimal decimal"),
        ("run a function in a pool of threads", "concurrent.futures.thread.ThreadPoolExecutor"),
        ("wait for several coroutines at once", "asyncio.gather asyncio.wait asyncio.TaskGroup"),
        ("cancel an operation after a timeout", "asyncio.wait_for asyncio.timeout asyncio.Timeout"),
        (
            "run blocking code in another thread from async code",
            "asyncio.to_thread asyncio.run_in_executor asyncio.loop.run_in_executor",
        ),
        ("lock that the same thread may acquire again", "threading.RLock threading._RLock"),
        ("wait until another thread signals an event", "threading.Event threading.Event.wait"),
        (
            "share memory between processes",
            "multiprocessing.shared_memory.SharedMemory multiprocessing.shared_memory",
        ),
        ("open a TCP connection to a server", "socket.create_connection asyncio.open_connection"),
        ("download the content of a URL", "urllib.request.urlopen urllib.request.urlretrieve"),
        ("percent encode a string for a URL", "urllib.parse.quote urllib.parse.quote_plus"),
        (
            "simple web server for the current directory",
            "http.server http.server.SimpleHTTPRequestHandler",
        ),
        (
            "send an email over SMTP",
            "smtplib.SMTP.sendmail smtplib.SMTP.send_message smtplib.SMTP smtplib",
        ),
        (
            "pretty print a nested data structure",
            "pprint.pprint pprint.pformat pprint.PrettyPrinter pprint",
        ),
        ("get the source code of a function", "inspect.getsource inspect.getsourcelines"),
        (
            "format the traceback of an exception as text",
            "traceback.format_exc traceback.format_exception",
        ),
        ("ignore certain exceptions in a with block", "contextlib.suppress"),
        ("turn a generator into a context manager", "contextlib.contextmanager"),
        ("class with automatically generated init and repr", "dataclasses.dataclass"),
        ("unique identifier based on random numbers", "uuid.uuid4"),
        (
            "iterate over the lines of several input files",
            "fileinput.input fileinput.FileInput fileinput",
        ),
        ("shutil.copytree", "shutil.copytree"),
        (
            "ThreadPoolExecutor",
            "concurrent.futures.ThreadPoolExecutor concurrent.futures.thread.ThreadPoolExecutor",
        ),
        ("os.path.join", "os.path.join posixpath.join"),
        ("SequenceMatcher", "difflib.SequenceMatcher"),
        ("urlsafe_b64decode", "base64.urlsafe_b64decode"),
        ("getLogger", "logging.getLogger"),
        ("named_temporary_file", "tempfile.NamedTemporaryFile"),
    )
)
"""Question -> ids of the passages that answer it."""
