#!/usr/bin/python3
"""Those who should not be there, in a process of their own: what they cost is not to be this side's Python.

    attackers.py guess PORT USER COUNT PER_SECOND NETWORK     (NETWORK: the first three octets of source addresses)
    attackers.py squat PORT COUNT NETWORK

`guess`: COUNT addresses try wrong passwords, PER_SECOND of them in all together. 0: as fast as they are answered, each two
from one address, and each at a name of its own where USER has a %d.
`squat`: COUNT connections that never log in, opened again when they are closed.
Each line on standard input switches between at work and at rest, beginning at rest; the end of the input ends it all
and prints as JSON how often what was answered.
"""
import asyncio
import collections
import itertools
import json
import sys

answers = collections.Counter()
working = asyncio.Event()


async def connect(port, address):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    return reader, writer, await reader.readline()


def count(line):
    words = line.decode("latin-1").split()
    answers[" ".join(words[1:3]) if words else "closed"] += 1


async def guess_once(port, user, address, passwords):
    try:
        reader, writer, greeting = await connect(port, address)
        if not greeting.startswith(b"* OK"):
            return count(greeting)
        writer.write(b'g LOGIN "%s" "%s"\r\n' % (user.encode(), next(passwords).encode()))
        count(await reader.readline())
        writer.close()
    except OSError as error:
        answers[type(error).__name__] += 1


async def guess(port, user, number, per_second, network):
    passwords = (f"wrong-{n}" for n in itertools.count())
    addresses = [f"{network}.{n + 1}" for n in range(number)]
    if per_second:
        tasks = set()
        for address in itertools.cycle(addresses):
            await working.wait()
            task = asyncio.create_task(guess_once(port, user, address, passwords))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(1 / per_second)

    async def one(index):
        while True:
            await working.wait()
            await guess_once(port, user.replace("%d", str(index)), addresses[index // 2], passwords)
            await asyncio.sleep(0.05)
    await asyncio.gather(*(one(index) for index in range(number)))


async def squat(port, number, network):
    async def one(index):
        address = f"{network}.{index // 250 + 1}.{index % 250 + 1}"
        await asyncio.sleep(index * 0.001)
        while True:
            await working.wait()
            try:
                reader, writer, greeting = await connect(port, address)
                count(greeting)
                while line := await reader.readline():
                    count(line)
                writer.close()
            except OSError as error:
                answers[type(error).__name__] += 1
            await asyncio.sleep(0.5)
    await asyncio.gather(*(one(index) for index in range(number)))


async def obey():
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        if working.is_set():
            working.clear()
        else:
            working.set()


async def main():
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "guess":
        work = guess(port, sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
    else:
        work = squat(port, int(sys.argv[3]), sys.argv[4])
    task = asyncio.create_task(work)
    await obey()
    task.cancel()
    print(json.dumps(answers), flush=True)


asyncio.run(main())
