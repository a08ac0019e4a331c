"""Counts the ways to place queens, by recursion; keeps what it finds in a dictionary on the way."""
import hashlib
import sys

size = int(sys.argv[1])
found = {}


def place(row, columns, up, down, path):
    if row == size:
        found[bytes(path)] = sum(path[i] * (i + 1) for i in range(size))
        return
    for column in range(size):
        if columns >> column & 1 or up >> (row + column) & 1 or down >> (row - column + size) & 1:
            continue
        path.append(column)
        place(row + 1, columns | 1 << column, up | 1 << row + column, down | 1 << row - column + size, path)
        path.pop()


place(0, 0, 0, 0, [])
digest = hashlib.sha256()
for path in sorted(found):
    digest.update(path + str(found[path]).encode())
print(len(found), digest.hexdigest())
