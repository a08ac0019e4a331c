"""Four threads take numbers from a queue and give back what they computed; the main thread puts it in order."""
import hashlib
import queue
import sys
import threading

tasks, results = queue.Queue(maxsize=8), queue.Queue()


def work():
    while (number := tasks.get()) is not None:
        data = str(number).encode()
        for _ in range(3000):
            data = hashlib.sha256(data + bytes([number % 251])).digest()
        results.put((number, data.hex()))


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(int(sys.argv[1])):
    tasks.put(number)
for _ in threads:
    tasks.put(None)
for thread in threads:
    thread.join()
for number, value in sorted(results.queue):
    print(number, value)
