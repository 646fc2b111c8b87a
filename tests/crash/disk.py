"""A disk that loses its power: from the notes of a recording, what may be found on it after any of them.

Two models. *Journalled* (ext4, xfs): names appear in the order in which they were given, and syncing anything makes all
earlier ones last. *Strict* (POSIX, no more): a name lasts when its folder was synced, and those that were not may be
there or not, each for itself. In both, what was written and not synced may be there, in part, torn at 512 bytes, or
only its length. Nothing is known here of what the files mean.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

from tests.crash.recording import CREATED, EMPTIED, FOLDER, Note

SECTOR = 512
MODELS = ("journalled", "strict")
MANNERS = ("dropped", "kept", "torn", "sizes")
"""What becomes of the unsynced: none of it is there; all; some sectors and some names; lengths without their data."""


@frozen
class Change:
    """A write or a truncation of a file, not synced yet; `when` counts all changes of the disk."""

    when: int
    at: int
    data: bytes | None
    """None: the file was cut, or stretched, to `at` bytes."""


@define(eq=False)
class File:
    now: bytearray = field(factory=bytearray)
    kept: bytearray = field(factory=bytearray)
    pending: list[Change] = field(factory=list)

    def change(self, change: Change) -> None:
        apply(self.now, change)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            apply(self.kept, change)
        self.pending.clear()

    def after_crash(self, manner: str, cut: int, draw: random.Random) -> bytes:
        if manner == "kept" or not self.pending:
            return bytes(self.now)
        if manner == "dropped":
            return bytes(self.kept)
        found = bytearray(self.kept)
        for change in self.pending:
            if change.data is None:
                if change.when <= cut:
                    apply(found, change)
            elif manner == "sizes":
                if len(found) < change.at + len(change.data):
                    apply(found, Change(change.when, change.at + len(change.data), None))
            else:
                for start in range(-(change.at % SECTOR), len(change.data), SECTOR):
                    if draw.random() < 0.5:
                        part = change.data[max(0, start) : start + SECTOR]
                        apply(found, Change(change.when, change.at + max(0, start), part))
        return bytes(found)


def apply(content: bytearray, change: Change) -> None:
    end = change.at + len(change.data or b"")
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if change.data is None:
        del content[change.at :]
    else:
        content[change.at : end] = change.data


@define(eq=False)
class Folder:
    now: dict[str, "File | Folder"] = field(factory=dict)
    kept: dict[str, "File | Folder"] = field(factory=dict)
    pending: list[tuple[int, dict[str, "File | Folder | None"]]] = field(factory=list)
    """Deeds that are not synced yet: when, and what each name then meant (None: nothing). A rename is one deed."""

    def name(self, when: int, names: dict[str, "File | Folder | None"]) -> None:
        entitle(self.now, names)
        self.pending.append((when, names))

    def sync(self) -> None:
        for _, names in self.pending:
            entitle(self.kept, names)
        self.pending.clear()

    def after_crash(self, chosen: Callable[[int], bool]) -> dict[str, "File | Folder"]:
        found = dict(self.kept)
        for when, names in self.pending:
            if chosen(when):
                entitle(found, names)
        return found


def entitle(entries: dict[str, "File | Folder"], names: dict[str, "File | Folder | None"]) -> None:
    for name, meant in names.items():
        if meant is None:
            entries.pop(name, None)
        else:
            entries[name] = meant


Tree = dict[str, bytes | None]
"""Path below the root → content; None for a folder."""


@define
class Disk:
    """What was written and what lasts, after some notes."""

    root: str
    model: str
    top: Folder = field(factory=Folder)
    when: int = 0
    synced: int = 0
    _open: dict[tuple[int, int], File | Folder] = field(factory=dict)
    _touched: list[Folder] = field(factory=list)

    @classmethod
    def holding(cls, root: Path, model: str) -> "Disk":
        """A disk on which all that is in a folder has lasted."""
        disk = cls(str(root), model)
        for path in sorted(root.rglob("*")):
            folder, name = disk._place(str(path))
            body = bytearray() if path.is_dir() else bytearray(path.read_bytes())
            folder.now[name] = folder.kept[name] = Folder() if path.is_dir() else File(body, bytearray(body))
        return disk

    def play(self, note: Note) -> None:
        self.when += 1
        match note.kind:
            case "o":
                self._opened(note)
            case "c":
                self._open.pop(note.file, None)
            case "w" | "t":
                data = note.data if note.kind == "w" else None
                self._file(note).change(Change(self.when, note.at, data))
            case "f":
                self._open[note.file].sync()
                self._sync_all_names()
            case "d":
                folder, name = self._place(note.path)
                self._name(folder, {name: Folder()})
            case "u":
                folder, name = self._place(note.path)
                self._name(folder, {name: None})
            case "l" | "r":
                self._named_anew(note)

    def crash(self, manner: str, draw: random.Random) -> Tree:
        """What may be found when the power fails now."""
        cut = {"dropped": self.synced, "kept": self.when}.get(manner, draw.randint(self.synced, self.when))
        chosen = self._choice(manner, cut, draw)
        tree: Tree = {}
        todo = [("", self.top)]
        while todo:
            prefix, folder = todo.pop()
            for name, found in folder.after_crash(chosen).items():
                if isinstance(found, Folder):
                    tree[prefix + name] = None
                    todo.append((f"{prefix}{name}/", found))
                elif name.endswith("-shm"):
                    tree[prefix + name] = draw.randbytes(32768)  # written by the processor, not by calls: anything
                else:
                    tree[prefix + name] = found.after_crash(manner, cut, draw)
        return tree

    def _choice(self, manner: str, cut: int, draw: random.Random) -> Callable[[int], bool]:
        if self.model == "journalled" or manner != "torn":
            return lambda when: when <= cut
        drawn: dict[int, bool] = {}
        return lambda when: drawn.setdefault(when, draw.random() < 0.5)

    def _opened(self, note: Note) -> None:
        if note.flags & FOLDER:
            self._open[note.file] = self._folder(note.path)
            return
        folder, name = self._place(note.path)
        if note.flags & CREATED:
            self._name(folder, {name: File()})
        file = folder.now[name]
        assert isinstance(file, File)
        if note.flags & EMPTIED:
            file.change(Change(self.when, 0, None))
        self._open[note.file] = file

    def _named_anew(self, note: Note) -> None:
        old_folder, old = self._place(note.path)
        new_folder, new = self._place(note.data.decode())
        meant = old_folder.now[old]
        gone: dict[str, File | Folder | None] = {} if note.kind == "l" else {old: None}
        if old_folder is new_folder:
            self._name(new_folder, {**gone, new: meant})
            return
        self._name(new_folder, {new: meant})
        if gone:
            self._name(old_folder, gone)

    def _name(self, folder: Folder, names: dict[str, File | Folder | None]) -> None:
        folder.name(self.when, names)
        self._touched.append(folder)

    def _sync_all_names(self) -> None:
        """In the journal, what comes first lasts first."""
        if self.model == "journalled":
            self.synced = self.when
            for folder in self._touched:
                folder.sync()
            self._touched.clear()

    def _file(self, note: Note) -> File:
        file = self._open[note.file]
        assert isinstance(file, File)
        return file

    def _folder(self, path: str) -> Folder:
        found: File | Folder = self.top
        for step in path[len(self.root) :].split("/"):
            if step:
                assert isinstance(found, Folder)
                found = found.now[step]
        assert isinstance(found, Folder)
        return found

    def _place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self._folder(above), name


def states(root: Disk, notes: Sequence[Note], count: int, draw: random.Random) -> Iterator[tuple[int, str, Tree]]:
    """So many crash states, spread evenly over all notes that change something: after which note, manner, tree."""
    moments = [n for n, note in enumerate(notes) if note.kind in "owtfrlud"]
    wanted: dict[int, list[str]] = {}
    for n in range(count):
        moment = moments[(n * len(moments)) // count]
        wanted.setdefault(moment, []).append(MANNERS[n % len(MANNERS)])
    for n, note in enumerate(notes):
        root.play(note)
        for manner in wanted.get(n, ()):
            yield n, manner, root.crash(manner, draw)
