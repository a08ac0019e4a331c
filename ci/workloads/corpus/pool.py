"""A pool of processes, with its pipes, semaphores and helper threads."""
import multiprocessing
import sys


def collatz(start):
    best = (0, 0)
    for number in range(start, start + 600):
        steps, value = 0, number
        while value != 1:
            value = value * 3 + 1 if value & 1 else value >> 1
            steps += 1
        best = max(best, (steps, number))
    return best


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(3) as pool:
        for result in pool.imap(collatz, range(1, int(sys.argv[2]), 600)):
            print(*result)
    shared = context.Array("l", 8)
    children = [context.Process(target=shared.__setitem__, args=(i, i * i)) for i in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(list(shared))
