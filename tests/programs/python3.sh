#!/bin/sh
. "$(dirname "$0")/common.sh"
require python3

cat >"$work/session.py" <<'END'
import collections, hashlib, json, multiprocessing, os, pickle, queue, random, re, subprocess, sys, threading, zlib

def show(name, value):
    if not isinstance(value, bytes):
        value = repr(value).encode()
    print(name, len(value), hashlib.sha256(value).hexdigest(), flush=True)

def count_letters(text):
    return len(text.replace("1", "one"))

random.seed(1)

def tree(depth):
    if depth == 0:
        return random.choice([None, True, random.random(), random.randrange(10**12), "text" * random.randrange(20)])
    if depth % 2:
        return [tree(depth - 1) for _ in range(8)]
    return {"key %d" % i: tree(depth - 1) for i in range(8)}

document = tree(5)
text = json.dumps(document, indent=1, sort_keys=True)
assert json.loads(text) == document
show("json", text.encode())
show("pickle", pickle.dumps(pickle.loads(pickle.dumps(document, 4)), 4))
show("zlib", zlib.decompress(zlib.compress(text.encode() * 3, 9)))

words = re.findall(r"\"([a-z]+) (\d+)\": (?:\[|\{|[^,]*)", text)
show("re", collections.Counter(words).most_common())
show("sub", re.sub(r"(text)+", lambda match: match.group(0)[::-1].upper(), text).encode())

results = queue.Queue()

def work(number):
    table = {}
    for i in range(20000):
        table[(i * 7919 + number) % 5003] = "%d-%d" % (number, i) * (i % 7)
    buffer = bytearray()
    for value in table.values():
        buffer += value.encode()
    results.put((number, hashlib.sha256(buffer).hexdigest()))

threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
show("threads", sorted(results.get() for _ in threads))

children = [subprocess.run([sys.executable, "-c", "print(sum(len(str(i)) for i in range(%d)))" % (1000 * i)],
                           stdout=subprocess.PIPE, check=True).stdout for i in range(8)]
show("subprocess", children)
show("shell", subprocess.run("for i in 1 2 3 4 5; do echo $i | sed s/3/three/; done", shell=True,
                             stdout=subprocess.PIPE, check=True).stdout)

for i in range(5):
    child = os.fork()
    if child == 0:
        copy = json.loads(text)
        os._exit(0 if copy == document else 1)
    assert os.waitpid(child, 0)[1] == 0

# Much is built and most of it is dropped: what is left must stay as it was while threads and children do more.
sparse = {i: ("value %d" % i) * (i % 20) for i in range(200000)}
for i in range(200000):
    if i % 8:
        del sparse[i]
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
show("more threads", sorted(results.get() for _ in threads))
with multiprocessing.Pool(3) as pool:
    show("pool", pool.map(count_letters, list(sparse.values()), 1000))
show("sparse", sparse)

rows = sorted(([random.random(), str(i) * (i % 50)] for i in range(50000)), key=lambda row: row[1])
del rows[::3]
show("rows", rows)
END
export PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
compare python3 "$work/session.py"
# Python keeps small objects to itself unless it is told not to.
export PYTHONMALLOC=malloc
compare python3 "$work/session.py"
