#!/bin/sh
# A Python program whose heap fragments gets its memory back while it sleeps, and at each stage libmesh's own figures
# are what the kernel counts.
. "$(dirname "$0")/common.sh"
require python3

cat >"$work/memory.py" <<'EOF'
import ctypes, json, random, re, time

libc = ctypes.CDLL(None)

def figure(name):
    value, size = ctypes.c_size_t(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_size_t))
    error = libc.mesh_mallctl(name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    assert error == 0, (name, error)
    return value.value

def pss():
    """But for files: whoever maps them too has a share in them, and comes and goes."""
    with open('/proc/self/smaps_rollup') as file:
        kilobytes = dict(re.findall(r'^(Pss\w*):\s+(\d+)', file.read(), re.M))
    return int(kilobytes['Pss']) - int(kilobytes['Pss_File']) << 10

def check(stage):
    """What is not libmesh's stays as it was, within 2% of all and half a megabyte for what Python writes to."""
    all, ours = pss(), figure('stats.resident')
    assert abs(all - ours - other) <= all / 50 + (1 << 19), (stage, all, ours, other)
    print(f'{stage}: {all >> 20} MB, resident {ours >> 20}, meshed {figure("stats.meshed") >> 20}')
    return all

random.seed(1)
objects = {}
other = pss() - figure('stats.resident')
check('start')
for i in range(300000):
    objects[f'key {i}'] = ['x' * random.randrange(10, 600), i]
full = check('full')
for key in random.sample(sorted(objects), 240000):
    del objects[key]
for i in range(100):
    time.sleep(0.1)
    if figure('stats.meshed') > full / 4:
        break
rested = check('rested')
assert rested < full * 0.75, 'nothing came back in sleep'
text = json.dumps(objects)
copy = json.loads(text)
check('copied')
assert copy == objects
del copy, text
libc.mesh_mallctl(b'mesh.compact', None, None, None, ctypes.c_size_t(0))
check('compacted')
objects.clear()
libc.mesh_mallctl(b'mesh.compact', None, None, None, ctypes.c_size_t(0))
assert check('cleared') < full / 4
EOF
run_with env -u MESH_PERIOD_MS PYTHONMALLOC=malloc python3 "$work/memory.py" || fail "see above"
