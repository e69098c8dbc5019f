# SPDX-License-Identifier: Apache-2.0
"""What a disk holds after a power loss, and calls that fail: the other half of the library that tests preload (faults.h).

A Disk is a folder whose changes a node makes through that library, which writes them down. When the node is gone, the
journal is played on a model of two states: what the programs see (the kernel's cache), and what has been synced. First
the model's cache must be byte for byte what really lies in the folder: so nothing went unseen. Then the folder is turned
into what the disk might hold:

    lost     nothing but what was synced: a file's content and size by fsync or fdatasync of the file, a name by fsync
             of its folder. sync_file_range promises nothing.
    prefix   each file and each folder has kept the first so many of its changes, the last of a file torn at a sector.
    holes    each sector of 512 bytes that was not synced is old or new, whatever came first; each size likewise; changes
             of a folder are kept or not, but for those that build on one that was not.

After a sync that failed the pages that it was to write are gone from the disk's queue, as in Linux: a later sync does not
bring them, unless they are written again."""
import mmap
import os
import random
import shutil
import struct

PAGE, SECTOR = 4096, 512
MODES = ("lost", "prefix", "holes")
OUTCOME, CREATE, WRITE, TRUNCATE, ALLOCATE, SYNC, MKDIR, RENAME, LINK, UNLINK, RMDIR = range(1, 12)
RECORD = struct.Struct("<IIQQq")  # struct faults_record

# struct faults_control
CALLS = {name: 1 << bit for bit, name in enumerate(("write", "sync", "open", "rename", "allocate", "unlink", "mkdir",
                                                    "malloc"))}
SETTINGS = struct.Struct("<IiIQQ")  # calls, errnum, partly, first, count
CONTROL_SIZE = 128
ARMED_AT, SETTINGS_AT, SEEN_AT, FAILED_AT, KILL_AT, CHANGES_AT, SYNC_US_AT, NAME_AT = 0, 4, 32, 40, 48, 56, 64, 68


def pages(start, end):
    return range(start // PAGE, -(-end // PAGE))


def resized(data, size):
    if size <= len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


class File:
    def __init__(self, data=b""):
        self.cache = bytearray(data)
        self.synced = bytearray(data)  # what the device surely has
        self.changes = []              # since then: (seq, op, number, data)
        self.dirty = set()             # pages that the next sync will write
        self.flying = {}               # pages by the sync that is writing them
        self.doubtful = set()          # pages that a failed sync has given up
        self.smallest = len(data)      # since the last sync began

    def change(self, seq, op, number, data=b""):
        apply(self.cache, op, number, data)
        self.smallest = min(self.smallest, len(self.cache))
        self.changes.append((seq, op, number, data))
        if op == WRITE:
            touched = pages(number, number + len(data))
            self.dirty.update(touched)
            self.doubtful.difference_update(touched)

    def begin_sync(self, seq):
        """What it will have written, if it succeeds: also what another sync is still writing, for which it waits."""
        self.flying[seq] = self.dirty.union(*self.flying.values())
        self.dirty = set()  # what is written from here on is for the next one
        content = {page: bytes(self.cache[page * PAGE:(page + 1) * PAGE]) for page in self.flying[seq]}
        return content, self.smallest, len(self.cache)

    def end_sync(self, seq, todo, good):
        content, smallest, size = todo
        del self.flying[seq]
        if not good:
            self.doubtful.update(set(content).difference(self.dirty, *self.flying.values()))
            return
        resized(self.synced, smallest)
        resized(self.synced, size)
        for page, data in content.items():
            data = data[:max(0, size - page * PAGE)]
            self.synced[page * PAGE:page * PAGE + len(data)] = data
        self.changes = [change for change in self.changes if change[0] > seq]
        self.smallest = min([len(self.cache)] + [change[2] for change in self.changes if change[1] == TRUNCATE])

    def after_power_loss(self, rng, mode):
        if mode == "lost":
            return bytes(self.synced)
        return bytes(self._prefix(rng) if mode == "prefix" else self._holes(rng))

    def _prefix(self, rng):
        data = bytearray(self.synced)
        count = rng.randrange(len(self.changes) + 1)
        for _, op, number, content in self.changes[:count]:
            apply(data, op, number, content)
        if count < len(self.changes) and self.changes[count][1] == WRITE:
            _, _, at, content = self.changes[count]
            end = rng.randrange(at, at + len(content) + 1) // SECTOR * SECTOR
            if end > at:
                apply(data, WRITE, at, content[:end - at])
        return data

    def _holes(self, rng):
        data = bytearray(self.synced)
        if not self.dirty and not self.doubtful and len(self.cache) == len(self.synced):
            return data
        resized(data, rng.choice((len(self.synced), len(self.cache))))
        likely = rng.random()
        for page in sorted(self.dirty | self.doubtful):
            for at in range(page * PAGE, min((page + 1) * PAGE, len(data), len(self.cache)), SECTOR):
                if rng.random() < likely:
                    end = min(at + SECTOR, len(data), len(self.cache))
                    data[at:end] = self.cache[at:end]
        return data


def apply(data, op, number, content):
    if op == WRITE:
        if len(data) < number:
            resized(data, number)
        data[number:number + len(content)] = content
    elif op == TRUNCATE or number > len(data):
        resized(data, number)


class Folder:
    def __init__(self):
        self.cache, self.synced = {}, {}  # name -> File or Folder
        self.changes = []                 # (seq, {name: what it is now, or None})

    def change(self, seq, names):
        update(self.cache, names)
        self.changes.append((seq, names))

    def end_sync(self, seq, good):
        if not good:
            return
        for _, names in (change for change in self.changes if change[0] < seq):
            update(self.synced, names)
        self.changes = [change for change in self.changes if change[0] > seq]

    def after_power_loss(self, rng, mode):
        names = dict(self.synced)
        if mode == "prefix":
            for _, change in self.changes[:rng.randrange(len(self.changes) + 1)]:
                update(names, change)
        elif mode == "holes":
            missed, likely = set(), rng.random()
            for _, change in self.changes:
                if not missed.isdisjoint(change) or rng.random() >= likely:
                    missed.update(change)
                else:
                    update(names, change)
        return names


def update(entries, names):
    for name, what in names.items():
        if what is None:
            entries.pop(name, None)
        else:
            entries[name] = what


class Model:
    """A folder as it lies there, everything of it durable; then what a journal says."""

    def __init__(self, path):
        self.inodes = {}
        self.root = self._load(path)

    def _load(self, path):
        inode = os.stat(path).st_ino
        if inode not in self.inodes and os.path.isdir(path):
            folder = self.inodes[inode] = Folder()
            for name in os.listdir(path):
                folder.synced[name] = folder.cache[name] = self._load(os.path.join(path, name))
        elif inode not in self.inodes:
            with open(path, "rb") as file:
                self.inodes[inode] = File(file.read())
        return self.inodes[inode]

    def place(self, path):
        """The folder and the name in it."""
        folder, names = self.root, path.split("/")
        for name in names[:-1]:
            folder = folder.cache[name]
        return folder, names[-1]

    def play(self, journal):
        """Returns the call that may or may not have been made when the process was killed, or None."""
        records = list(read_records(journal))
        outcomes = {record[1]: record[3] for record in records if record[0] == OUTCOME}
        syncs, last = {}, None
        for op, seq, inode, number, payload in records:
            if op == OUTCOME:
                if seq in syncs:
                    self._end_sync(seq, *syncs.pop(seq), good=number == 0)
            elif op == SYNC:
                what = self.inodes[inode]
                syncs[seq] = (what, what.begin_sync(seq) if isinstance(what, File) else None)
            elif seq not in outcomes:
                assert last is None, "two calls at one time"
                last = (op, seq, inode, number, payload)
            elif outcomes[seq] >= 0:
                self._change(op, seq, inode, number, payload, outcomes[seq])
        for seq, (what, todo) in syncs.items():  # nobody was told that it succeeded
            self._end_sync(seq, what, todo, good=False)
        return last

    def _end_sync(self, seq, what, todo, good):
        if todo is None:
            what.end_sync(seq, good)
        else:
            what.end_sync(seq, todo, good)

    def _change(self, op, seq, inode, number, payload, outcome):
        if op in (WRITE, TRUNCATE, ALLOCATE):
            self.inodes[inode].change(seq, op, number, payload[:outcome] if op == WRITE else b"")
            return
        paths = [path.decode() for path in payload.split(b"\0")[:-1]]
        if op in (CREATE, MKDIR):
            self.inodes[outcome] = what = File() if op == CREATE else Folder()
            if paths[0]:  # else O_TMPFILE
                folder, name = self.place(paths[0])
                folder.change(seq, {name: what})
        elif op in (UNLINK, RMDIR):
            folder, name = self.place(paths[0])
            folder.change(seq, {name: None})
        else:
            from_folder, from_name = self.place(paths[0])
            folder, name = self.place(paths[1])
            what = from_folder.cache[from_name]
            assert op == LINK or folder is from_folder, f"a rename from folder to folder is not modelled: {paths}"
            folder.change(seq, {name: what} if op == LINK else {from_name: None, name: what})

    def cached(self):
        """{path: content, None for a folder} as the programs saw it."""
        return dict(walk(self.root, lambda folder: folder.cache, lambda file: bytes(file.cache)))

    def after_power_loss(self, rng, mode):
        return dict(walk(self.root, lambda folder: folder.after_power_loss(rng, mode),
                         lambda file: file.after_power_loss(rng, mode)))


def walk(folder, names_of, content_of, prefix=""):
    for name, what in sorted(names_of(folder).items()):
        if isinstance(what, Folder):
            yield prefix + name, None
            yield from walk(what, names_of, content_of, f"{prefix}{name}/")
        else:
            yield prefix + name, content_of(what)


def read_records(journal):
    with open(journal, "rb") as file:
        data = file.read()
    at = 0
    while len(data) - at >= RECORD.size:
        size, op, seq, inode, number = RECORD.unpack_from(data, at)
        at += RECORD.size
        if len(data) - at < size:
            return  # killed while it was written, before its call
        yield op, seq, inode, number, data[at:at + size]
        at += size


def read_tree(path, prefix=""):
    found = {}
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            found[prefix + entry.name] = None
            found.update(read_tree(entry.path, f"{prefix}{entry.name}/"))
        else:
            with open(entry.path, "rb") as file:
                found[prefix + entry.name] = file.read()
    return found


class Control:
    """The page that the library looks into: which calls fail, and when the process is killed."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(CONTROL_SIZE)
            self.page = mmap.mmap(file.fileno(), CONTROL_SIZE)

    def _number(self, at, form="<Q"):
        return struct.unpack_from(form, self.page, at)[0]

    def fail(self, calls, errnum, first=0, count=2**62, name="", partly=False):
        """From the `first` of such calls from now on (on files whose path contains `name`), `count` of them fail."""
        self.rest()
        mask = sum(CALLS[call] for call in calls)
        SETTINGS.pack_into(self.page, SETTINGS_AT, mask, errnum, partly, first, count)
        struct.pack_into("<QQ", self.page, SEEN_AT, 0, 0)
        struct.pack_into("60s", self.page, NAME_AT, name.encode())
        struct.pack_into("<I", self.page, ARMED_AT, 1)

    def rest(self):
        """Everything works again. Returns how many calls have failed since it was armed."""
        struct.pack_into("<I", self.page, ARMED_AT, 0)
        return self.failed

    @property
    def failed(self):
        return self._number(FAILED_AT)

    @property
    def seen(self):
        """Calls that might have failed since then."""
        return self._number(SEEN_AT)

    @property
    def changes(self):
        return self._number(CHANGES_AT)

    def kill_at(self, change):
        """SIGKILL before this change of the disk, counted from the process's first; 0: never."""
        struct.pack_into("<Q", self.page, KILL_AT, change)

    def kill_after(self, changes):
        self.kill_at(self.changes + changes)

    def slow_syncs(self, microseconds):
        struct.pack_into("<I", self.page, SYNC_US_AT, microseconds)

    def begin(self, kill_at=0):
        """Before a process begins."""
        self.rest()
        self.kill_at(kill_at)
        struct.pack_into("<Q", self.page, CHANGES_AT, 0)


class Disk:
    """The folder `path`, empty or not, as a disk that can lose its power. Nobody else writes there."""

    def __init__(self, path, beside, library):
        self.path, self.library = os.path.realpath(path), str(library)
        self.journal = os.path.join(os.path.realpath(beside), "disk.journal")
        self.control_path = os.path.join(os.path.realpath(beside), "disk.control")
        os.makedirs(self.path, exist_ok=True)
        self.control = Control(self.control_path)
        self.model = None

    def begin(self, kill_at=0):
        """Everything there is durable; to be called before each start of a process."""
        self.model = Model(self.path)
        if os.path.exists(self.journal):
            os.unlink(self.journal)
        self.control.begin(kill_at)

    def environment(self):
        return {"LD_PRELOAD": self.library, "KVS_FAULTS_ROOT": self.path, "KVS_FAULTS_JOURNAL": self.journal,
                "KVS_FAULTS_CONTROL": self.control_path}

    def settle(self):
        """Plays the journal of a process that is gone, and holds it against what is there."""
        last = self.model.play(self.journal) if os.path.exists(self.journal) else None
        real = read_tree(self.path)
        if self.model.cached() != real and last is not None:
            self._assume_made(last)
        model = self.model.cached()
        differing = sorted(name for name in model.keys() | real.keys() if model.get(name, 0) != real.get(name, 0))
        assert not differing, f"the journal does not say all that was done to {differing}"

    def _assume_made(self, last):
        """It was: of a write, as much as is there, for a SIGKILL ends even that halfway."""
        op, seq, inode, number, payload = last
        outcome = 0
        if op in (CREATE, MKDIR):
            outcome = os.stat(os.path.join(self.path, payload.rstrip(b"\0").decode())).st_ino
        elif op == WRITE:
            data = self._content(inode)[number:number + len(payload)]
            outcome = next((n for n, (a, b) in enumerate(zip(data, payload)) if a != b), len(data))
        self.model._change(op, seq, inode, number, payload, outcome)

    def _content(self, inode):
        for folder, _, names in os.walk(self.path):
            for path in (os.path.join(folder, name) for name in names):
                if os.stat(path).st_ino == inode:
                    with open(path, "rb") as file:
                        return file.read()
        return b""

    def lose_power(self, seed, mode):
        """Turns the folder into what is left."""
        self.settle()
        left = self.model.after_power_loss(random.Random(seed), mode)
        for entry in os.scandir(self.path):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        for name, content in left.items():
            path = os.path.join(self.path, name)
            if content is None:
                os.mkdir(path, 0o700)
            else:
                with open(path, "wb") as file:
                    file.write(content)
                os.chmod(path, 0o600)
